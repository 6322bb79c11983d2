"""Benchmarks: every performance claim in the documentation names a file that these wrote."""
