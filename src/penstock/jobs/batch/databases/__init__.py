"""Databases that batch jobs read and write: a module each."""
