"""Worker processes that several serving processes share: the broker, and its guests."""
