"""The tasks of the ``huggingface`` runtime, one file each, and what they share."""
