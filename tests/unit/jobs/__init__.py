"""Tests of batch jobs and of streams."""
