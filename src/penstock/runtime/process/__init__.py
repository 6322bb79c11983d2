"""Instances in processes of their own: the channel, the worker, and who looks after it."""
