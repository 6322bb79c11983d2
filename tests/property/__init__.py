"""The laws, tried with generated cases."""
