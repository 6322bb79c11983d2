"""Calls to others: metrics, webhooks, clusters; each with an end to its wait."""
