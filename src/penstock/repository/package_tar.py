"""The bytes between a package's members: those of a POSIX tar archive, and no others.

A member has one possible header for its name and size. A reader makes the header it expects and
compares; it never interprets one. So links, devices, sparse files, owners, rights and dates do
not exist here: an archive that has them has other bytes.
"""

from __future__ import annotations

import tarfile
from typing import BinaryIO

from penstock.core.errors import LoadFailed

BLOCK_BYTES = 512
TRAILER = bytes(2 * BLOCK_BYTES)
"""Two empty blocks end an archive."""

_NAME = slice(0, 100)
_SIZE = slice(124, 136)


def header(name: str, size_bytes: int) -> bytes:
    """What stands before a member: one block, or three for long or non-ASCII names.

    Law: a function of name and size; ``tar`` and ``tarfile`` read it as a regular file.
    """
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size_bytes: int) -> bytes:
    """What follows a member, up to the next block."""
    return bytes(-size_bytes % BLOCK_BYTES)


def stored_bytes(name: str, size_bytes: int) -> int:
    """What a member takes: header, content and padding."""
    return len(header(name, size_bytes)) + size_bytes + len(padding(size_bytes))


def peek(block: bytes) -> tuple[str, int] | None:
    """Name and size that a one-block header claims; None: it is no header.

    What it claims counts only if ``header`` of it gives the same bytes.
    """
    try:
        name = block[_NAME].rstrip(b"\0").decode("ascii")
        size_bytes = int(block[_SIZE].rstrip(b"\0 ").decode("ascii"), 8)
    except ValueError:
        return None
    return (name, size_bytes) if size_bytes >= 0 and header(name, size_bytes) == block else None


def expect(file: BinaryIO, wanted: bytes, source: str, where: str) -> None:
    """Read exactly these bytes.

    Raises:
        LoadFailed: others stand there, or the file ends.
    """
    if file.read(len(wanted)) != wanted:
        raise LoadFailed(f"{source}: {where}: not what 'penstock pack' writes there")
