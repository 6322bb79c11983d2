"""Which version answers."""
