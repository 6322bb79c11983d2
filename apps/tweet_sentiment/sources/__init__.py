"""Where tweets come from."""
