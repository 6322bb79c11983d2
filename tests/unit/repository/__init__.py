"""Unit tests of the model repository."""
