"""The programs that the batch benchmark starts, a process each; every one prints a JSON object."""
