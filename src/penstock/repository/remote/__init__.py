"""Models that live elsewhere: object stores, HTTPS, registries and hubs, brought to this disk."""
