"""The whole server, from the command line on."""
