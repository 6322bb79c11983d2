"""Tests of what batch jobs write to."""
