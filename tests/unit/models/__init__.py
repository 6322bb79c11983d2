"""Tests of what is committed under ``models/`` and ``examples/``."""
