"""The Open Inference dialect."""
