"""Tests in other people's runners: `make test-runners`."""
