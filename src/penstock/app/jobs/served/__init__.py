"""Batch jobs that a server takes over HTTP, queues and runs beside its online traffic."""
