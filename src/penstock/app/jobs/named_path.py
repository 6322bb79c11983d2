"""named_path: an error about a model's path names the field of the job that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.core.errors import ConfigError


@contextmanager
def named_path(path: str) -> Iterator[None]:
    """Name the field ``model.path``, and the folder it starts from, in an error about that path.

    Args:
        path: as the job has it.

    Raises:
        ConfigError: what was raised, if it begins with the path, with both.
    """
    try:
        yield
    except ConfigError as err:
        if not err.message.startswith(path.partition(":")[0]):
            raise
        raise ConfigError(
            f"model.path: {err.message} (a relative path starts at {Path.cwd()}, where the "
            "command runs)"
        ) from err
