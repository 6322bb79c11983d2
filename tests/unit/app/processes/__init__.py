"""Tests of ``penstock.app.processes``."""
