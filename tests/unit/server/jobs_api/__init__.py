"""The jobs API: paths, bodies, streams."""
