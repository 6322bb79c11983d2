"""Tests of the model that the tweet application serves."""
