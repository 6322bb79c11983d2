"""The documentation is complete, fresh and true."""
