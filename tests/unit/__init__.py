"""Pure, quick, no sockets, no sleeps."""
