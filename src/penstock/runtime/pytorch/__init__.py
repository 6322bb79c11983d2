"""What the ``torch`` runtime is made of."""
