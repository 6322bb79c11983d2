"""What is in a file that the command line names."""

from __future__ import annotations

from pathlib import Path

from penstock.core.errors import ConfigError


def file_content(path: str) -> bytes:
    """All of it.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {(err.strerror or str(err)).lower()}") from err
