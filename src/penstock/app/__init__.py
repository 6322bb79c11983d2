"""The composition root: settings, object graph, command line."""
