"""Databases of batch jobs."""
