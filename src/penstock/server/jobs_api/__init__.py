"""Batch jobs over HTTP: their paths, bodies and answers."""
