"""Streams on real brokers: contracts of sources and sinks, and what happens when they fail."""
