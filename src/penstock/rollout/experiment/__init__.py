"""Experiments: fixed shares or shares that follow the evidence, and what they have shown."""
