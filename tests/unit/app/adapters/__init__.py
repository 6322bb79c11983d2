"""Tests of the adapters without the runners; those with them are in `tests/runners`."""
