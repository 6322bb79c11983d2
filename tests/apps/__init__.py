"""Tests of the applications built on Penstock."""
