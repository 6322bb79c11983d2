"""PackageHold: an unpacked package in use; and the removal of those that are not."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PackageHold:
    """Keeps ``trim`` in every process away from a folder until it is released.

    It is released too when it is forgotten, and when the process dies. Made by
    ``package_store.open_package``.

    Attributes:
        folder: the unpacked files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._lock = os.open(folder, _OPEN)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        os.utime(folder)

    def release(self) -> None:
        """Say that nothing is loaded from the folder any more; once is enough."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def __del__(self) -> None:
        """A load that was cancelled drops its hold without a word."""
        self.release()


def trim(cache: Path, max_bytes: int) -> None:
    """Remove the folders that were opened longest ago until the rest take at most so many bytes.

    Law: a folder that is held, by whatever process, stays, and so does one being unpacked; so the
    cache may stay larger than asked for.

    Args:
        cache: the package store.
        max_bytes: what its folders may take together.

    Concurrency: any thread or process; blocks on the file system.
    """
    try:
        folders = [path for path in cache.iterdir() if not path.suffix and path.is_dir()]
        opened_ns = {folder: folder.stat().st_mtime_ns for folder in folders}
        sizes = {folder: _num_bytes(folder) for folder in folders}
        total_bytes = sum(sizes.values())
        for folder in sorted(folders, key=lambda path: opened_ns[path]):
            if total_bytes <= max_bytes:
                return
            if _remove_unheld(folder):
                total_bytes -= sizes[folder]
                _log.info("removed %s, which nothing is loaded from", folder)
    except OSError as err:  # another process trims too, or the disk fails: nobody's load does
        _log.warning("%s cannot be trimmed: %s", cache, err.strerror or err)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Be the only one who makes or removes ``folder``; the lock of one who died is free.

    Args:
        folder: a folder of the store, there or not.
        wait: whether to wait for others.

    Returns:
        Whether the lock was got; always True where ``wait`` is.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(folder.with_suffix(".lock"), flags, 0o600)
    try:
        yield _try_lock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove whatever is there, a link itself and not what it leads to."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _remove_unheld(folder: Path) -> bool:
    with locked(folder, wait=False) as is_ours:
        if not is_ours:
            return False
        lock = os.open(folder, _OPEN)
        try:
            if not _try_lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return False
            going = folder.with_suffix(".partial")  # a name that nothing is loaded from
            remove(going)
            folder.rename(going)
            remove(going)
        finally:
            os.close(lock)
    return True


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        return False
    return True


def _num_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total
