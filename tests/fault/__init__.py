"""Fault tests: things break on purpose."""
