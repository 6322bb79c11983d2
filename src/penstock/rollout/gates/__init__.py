"""Gates: what a candidate is held to, each with its answer: pass, fail, or more is needed."""
