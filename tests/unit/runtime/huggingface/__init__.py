"""The parts of the huggingface runtime that need no framework."""
