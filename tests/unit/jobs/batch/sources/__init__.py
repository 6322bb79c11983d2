"""Tests of what batch jobs read."""
