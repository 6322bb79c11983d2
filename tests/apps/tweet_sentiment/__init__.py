"""The tweet sentiment service."""
