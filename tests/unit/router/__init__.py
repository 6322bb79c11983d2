"""The router: which version answers, who is copied, what is counted."""
