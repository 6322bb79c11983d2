"""Whether numbers say enough: sequential tests and intervals that hold at every look. Pure."""
