"""The shipped test kit: fakes that work, puppets that move when pulled, doubles that break on a script."""
