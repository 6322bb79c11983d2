"""Tests of what the runtimes of tabular models share."""
