"""Tests of the lifecycle floor."""
