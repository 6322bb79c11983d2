"""Real foreign clients against a live server."""
