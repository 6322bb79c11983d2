"""The router: canonical requests and the response cache."""
