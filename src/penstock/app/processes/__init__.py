"""Several serving processes on the same ports, and the supervisor that keeps them."""
