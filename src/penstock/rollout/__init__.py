"""Rollouts: which version should answer next, decided on evidence, and experiments."""
