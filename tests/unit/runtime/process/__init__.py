"""Tests of ``penstock.runtime.process``."""
