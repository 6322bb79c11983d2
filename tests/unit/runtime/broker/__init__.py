"""Tests of ``penstock.runtime.broker``."""
