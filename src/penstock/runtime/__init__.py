"""An artifact that computes: framework adapters and instances."""
