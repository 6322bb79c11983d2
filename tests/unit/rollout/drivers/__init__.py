"""Tests of the rollout floor's drivers."""
