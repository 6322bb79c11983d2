"""Tests of the runtimes of other frameworks: `make test-frameworks`."""
