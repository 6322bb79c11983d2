"""Streams: consume, predict in micro-batches, produce."""
