"""Tests of the rollout floor's experiment."""
