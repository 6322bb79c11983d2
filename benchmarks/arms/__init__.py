"""The arms of the comparison: the floor, the echo, Penstock and its peers."""
