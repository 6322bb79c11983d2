"""Tests of the rollout floor's outside."""
