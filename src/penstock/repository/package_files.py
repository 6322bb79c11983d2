"""The files of a package, read through once, from the first byte to the last."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from penstock.core.errors import LoadFailed
from penstock.repository.package_head import PackageHead
from penstock.repository.package_tar import TRAILER, expect, header, padding

CHUNK_BYTES = 1024 * 1024


class Nowhere:
    """A sink that keeps nothing."""

    def __enter__(self) -> Nowhere:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def write(self, content: bytes, /) -> int:
        """Drop it."""
        return len(content)


Sink = BinaryIO | Nowhere


def read_files(
    file: BinaryIO,
    head: PackageHead,
    source: str,
    open_sink: Callable[[str], Sink] = lambda _: Nowhere(),
) -> None:
    """Copy every file out of a package, and see that each is the one the manifest names.

    Law: when this returns, every byte of the package was read and is as it must be.

    Args:
        file: the package that ``head`` was read from.
        head: its head.
        source: what an error calls it.
        open_sink: opens what the file of that path is written to; it is closed here. Without:
            nothing is kept.

    Raises:
        LoadFailed: a byte is not as it must be; what was written so far must not be used.
        OSError: reading or writing failed.

    Concurrency: blocks on the file system.
    """
    file.seek(head.files_offset)
    for one in head.manifest.files:
        expect(file, header(one.path, one.size_bytes), source, f"before '{one.path}'")
        with open_sink(one.path) as sink:
            sha256 = copy_hashed(file, sink, one.size_bytes)
        if sha256 != one.sha256:
            raise LoadFailed(
                f"{source}: '{one.path}' has the digest {sha256}, the manifest says {one.sha256}: "
                "the package was changed or damaged"
            )
        expect(file, padding(one.size_bytes), source, f"after '{one.path}'")
    expect(file, TRAILER, source, "at its end")


def write_files(file: BinaryIO, head: PackageHead, source: str, folder: Path) -> None:
    """Write every file of a package into an empty folder; see ``read_files``.

    Law: writes nothing outside of ``folder``, whoever made the package: the head's paths are
    safe, the folder holds no link, and each file must be new.

    Args:
        file: the package.
        head: its head.
        source: what an error calls it.
        folder: an empty folder that nobody else writes to.
    """

    def open_new(path: str) -> BinaryIO:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(target, flags, 0o444), "wb")

    read_files(file, head, source, open_new)


def copy_hashed(file: BinaryIO, sink: Sink, size_bytes: int) -> str:
    """Copy that many bytes, or fewer where ``file`` ends; their SHA-256 in hex."""
    digest = hashlib.sha256()
    while size_bytes and (chunk := file.read(min(size_bytes, CHUNK_BYTES))):
        digest.update(chunk)
        sink.write(chunk)
        size_bytes -= len(chunk)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex. Blocks.

    Raises:
        OSError: it is no regular file (links are not followed) or cannot be read.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()
