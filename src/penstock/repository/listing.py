"""Listing: what a folder holds, as values."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from penstock.core.errors import LoadFailed

MAX_ENTRIES = 10_000
"""The most files and folders one version may hold."""

_TRANSIENT_ENDINGS = (".tmp", ".partial", ".part", ".filepart", ".crdownload", "~")


class Entry(msgspec.Struct, frozen=True):
    """One file or folder, symbolic links followed.

    Attributes:
        path: relative to the folder that was listed, with slashes.
        kind: ``broken``: a link to nowhere or in a circle; ``other``: a socket, pipe or device.
        size_bytes: size of a file; 0 for all else.
        mtime_ns: when its content changed, wall time.
        ctime_ns: when its content, name or rights changed, wall time of the file system.
    """

    path: str
    kind: Literal["file", "folder", "broken", "other"]
    size_bytes: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0

    @property
    def newest_ns(self) -> int:
        """When anything about it changed last."""
        return max(self.mtime_ns, self.ctime_ns)


class Tree(msgspec.Struct, frozen=True):
    """Everything in a folder and below.

    Attributes:
        entries: what counts, ordered by path: no folders, nothing transient.
        newest_ns: when anything changed last, transient files included: while one of those
            grows, a copy is under way.
    """

    entries: tuple[Entry, ...]
    newest_ns: int


def is_transient(name: str) -> bool:
    """Whether a name is that of a hidden file, a copy under way or an editor's backup."""
    return name.startswith(".") or name == "__pycache__" or name.endswith(_TRANSIENT_ENDINGS)


def list_folder(folder: Path) -> tuple[Entry, ...]:
    """What is directly in ``folder``, ordered by name. Blocks.

    Raises:
        OSError: the folder is not there or cannot be read.
    """
    with os.scandir(folder) as found:
        entries = [entry for one in found if (entry := _entry(one)) is not None]
    return tuple(sorted(entries, key=lambda entry: entry.path))


def stat_entry(path: Path) -> Entry:
    """The entry of one path; its ``path`` is the name. Blocks.

    Raises:
        OSError: it is not there or cannot be read.
    """
    return _from_stat(path.name, path.stat())


def walk(folder: Path) -> Tree:
    """Everything below ``folder``, links followed, each circle entered once. Blocks.

    Raises:
        OSError: something cannot be read.
        LoadFailed: more than ``MAX_ENTRIES`` things.
    """
    status = folder.stat()
    newest_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    kept: list[Entry] = []
    chain = frozenset({(status.st_dev, status.st_ino)})
    for count, entry in enumerate(_below(folder, "", chain)):
        if count >= MAX_ENTRIES:
            raise LoadFailed(f"more than {MAX_ENTRIES} files in '{folder.name}'")
        newest_ns = max(newest_ns, entry.newest_ns)
        if entry.kind != "folder" and not is_transient(entry.path.rpartition("/")[2]):
            kept.append(entry)
    return Tree(tuple(sorted(kept, key=lambda entry: entry.path)), newest_ns)


def _below(folder: Path, prefix: str, chain: frozenset[tuple[int, int]]) -> Iterator[Entry]:
    """Entries below ``folder``; ``chain`` holds the identity of it and all folders above."""
    for entry in list_folder(folder):
        name = entry.path
        if entry.kind == "folder":
            if is_transient(name):
                continue
            status = (folder / name).stat()
            identity = (status.st_dev, status.st_ino)
            if identity not in chain:
                yield from _below(folder / name, f"{prefix}{name}/", chain | {identity})
        yield Entry(prefix + name, entry.kind, entry.size_bytes, entry.mtime_ns, entry.ctime_ns)


def _entry(found: os.DirEntry[str]) -> Entry | None:
    """The entry of what a scan found; None: it went away since."""
    try:
        return _from_stat(found.name, found.stat())
    except FileNotFoundError:
        return Entry(found.name, "broken") if found.is_symlink() else None
    except OSError:
        if found.is_symlink():
            return Entry(found.name, "broken")
        raise


def _from_stat(name: str, status: os.stat_result) -> Entry:
    if stat.S_ISDIR(status.st_mode):
        return Entry(name, "folder", 0, status.st_mtime_ns, status.st_ctime_ns)
    kind: Literal["file", "other"] = "file" if stat.S_ISREG(status.st_mode) else "other"
    return Entry(name, kind, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
