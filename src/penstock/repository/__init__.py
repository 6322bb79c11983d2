"""Models at rest: layout, manifest, file system source."""
