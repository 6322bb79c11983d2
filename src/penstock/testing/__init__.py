"""The shipped test kit: fakes work, puppets move when pulled, faulty ones break on a script."""
