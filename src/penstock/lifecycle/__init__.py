"""Which versions live: Manager, harness, policies, handles."""
