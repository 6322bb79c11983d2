"""What a batch job reads: a file each."""
