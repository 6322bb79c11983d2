"""Models that come from stores, the web, registries and hubs."""
