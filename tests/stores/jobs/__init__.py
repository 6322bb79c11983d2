"""Databases and Redis as batch jobs read and write them."""
