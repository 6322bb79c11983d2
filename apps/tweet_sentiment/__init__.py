"""Tweet sentiment: a product built on Penstock's public API."""
