"""Tests of the rollout floor's gates."""
