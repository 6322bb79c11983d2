"""Where a batch job writes: a file each."""
