"""Routes, rollouts and experiments for operators: over REST, from Python, in one process."""
