"""Jobs put together: where their models come from, what users call."""
