"""Files of a job's state that are there for good, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from penstock.core.errors import JobOutputError, may_pass


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are not there.

    Raises:
        JobOutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise unwritable(folder, err) from err


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in its place, durably; a crash leaves the old one or the new one.

    Raises:
        JobOutputError: it cannot be written; the old one stands.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(unfinished, path)
    except OSError as err:
        unfinished.unlink(missing_ok=True)
        raise unwritable(path, err) from err


def put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a file that is synced to its name, durably.

    Raises:
        OSError: it cannot be renamed.
    """
    unfinished.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Have a file gone, durably; it need not be there.

    Raises:
        JobOutputError: it cannot be removed.
    """
    try:
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as err:
        raise unwritable(path, err) from err


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the disk fails.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritable(path: Path, err: OSError) -> JobOutputError:
    """What a job says when its own state cannot be written."""
    is_refused = isinstance(err, PermissionError) or err.errno == errno.EROFS
    advice = "let this user write there" if is_refused else "make room"
    return JobOutputError(
        f"{path}: cannot be written: {err.strerror or err}; {advice} or give the job another "
        f"'state' folder, then run it again: it goes on where it stopped",
        retryable=may_pass(err),
    )
