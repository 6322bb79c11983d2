"""Batch jobs: splits of an input, predicted and written exactly once."""
