"""What the torch runtime is made of, as far as it needs no PyTorch."""
