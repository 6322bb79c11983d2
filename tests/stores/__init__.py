"""The stores: contract, laws, faults of real servers."""
