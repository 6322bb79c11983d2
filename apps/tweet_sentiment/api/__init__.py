"""The business API, under ``/api/v1``."""
