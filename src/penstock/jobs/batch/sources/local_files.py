"""Files of this machine."""

from __future__ import annotations

import glob
import io
import os
import stat

from penstock.core.errors import JobInputError
from penstock.jobs.batch.sources.hidden import MAGIC, fixed_part, is_hidden
from penstock.jobs.batch.sources.input_file import InputFile, why_unreadable

_BUFFER_BYTES = 256 * 1024


def find(path: str) -> list[InputFile]:
    """The files at a path: itself, those below it, or those that match.

    Raises:
        JobInputError: a folder or a file may not be looked at.
    """
    try:
        return [file for name in _names(path) if (file := _entry(name)) is not None]
    except OSError as err:
        raise why_unreadable(path, err) from err


def look(source: str) -> InputFile:
    """A file as it is now.

    Raises:
        JobInputError: it is gone, or no file.
    """
    try:
        file = _entry(source)
    except OSError as err:
        raise why_unreadable(source, err) from err
    if file is None:
        raise JobInputError(f"{source}: is no longer a file")
    return file


def open_file(source: str) -> io.BufferedIOBase:
    """Its bytes.

    Raises:
        JobInputError: it is gone, or may not be read.
    """
    try:
        return io.BufferedReader(io.FileIO(source), _BUFFER_BYTES)
    except OSError as err:
        raise why_unreadable(source, err) from err


def _names(path: str) -> list[str]:
    if os.path.isdir(path):  # noqa: PTH112 - the path stays as it was given
        return sorted(name for name in _below(path) if not is_hidden(name, path))
    if os.path.lexists(path) or not any(mark in path for mark in MAGIC):
        return [path] if os.path.lexists(path) else []
    folder = fixed_part(path)
    os.scandir(folder or ".").close()
    found = glob.glob(path, recursive=True, include_hidden=True)  # noqa: PTH207
    return sorted(name for name in found if not is_hidden(name, folder, path))


def _below(folder: str) -> list[str]:
    def refuse(err: OSError) -> None:
        raise err

    walk = os.walk(folder, onerror=refuse, followlinks=False)
    return [os.path.join(above, name) for above, _, names in walk for name in names]  # noqa: PTH118


def _entry(name: str) -> InputFile | None:
    """The file of that name; None: it is a folder, a pipe, a device."""
    found = os.stat(name)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        return None
    return InputFile(name, found.st_size, f"size={found.st_size} mtime_ns={found.st_mtime_ns}")
