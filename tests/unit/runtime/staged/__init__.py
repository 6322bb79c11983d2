"""Tests of ``penstock.runtime.staged``."""
