"""Batch jobs that a server takes over HTTP."""
