"""Unit tests of the server floor."""
