"""Download one file: go on where an earlier attempt stopped, and hold what came to its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from penstock.core.errors import LoadFailed
from penstock.repository.remote.remote_file import RemoteFile
from penstock.repository.remote.remote_store import Piece

_FLUSH_BYTES = 64 * 1024 * 1024


def download(
    partial: Path,
    file: RemoteFile,
    read: Callable[[int], Iterator[Piece]],
    make_room: Callable[[int], None],
    shown: str,
) -> str:
    """Bring a file to ``partial``, from where it ends, and verify all of it. Blocks.

    Law: when it returns, the file has the size and digests that are known of it. What does not
    verify is removed; what broke off stays for the next attempt.

    Args:
        partial: where to; may be there already.
        file: what is known of it.
        read: gives its bytes from a position on; see ``RemoteStore.read``.
        make_room: told how many bytes the whole will take, as far as that is known.
        shown: the address for messages.

    Returns:
        Its SHA-256 in hex.

    Raises:
        ConnectionError: it broke off, or more came than there is.
        LoadFailed: it is not what it should be; retryable if only a part of it was fetched now.
    """
    with partial.open("ab") as out:
        start = out.tell()
        if file.size_bytes is not None and start > file.size_bytes:
            start = _restart(out)
        if file.size_bytes is None or start < file.size_bytes:
            end = _write(out, start, file, read, make_room)
        else:
            end = start
    if file.size_bytes is not None and end != file.size_bytes:
        raise ConnectionError(f"broke off after {end} of {file.size_bytes} bytes")
    return _verified(partial, file, shown, was_resumed=start > 0)


def _write(
    out: BinaryIO,
    start: int,
    file: RemoteFile,
    read: Callable[[int], Iterator[Piece]],
    make_room: Callable[[int], None],
) -> int:
    """Append what comes; returns where it ends."""
    position = start
    room_bytes = file.size_bytes or 0
    make_room(room_bytes)
    for piece in read(start):
        if piece.start == 0 and position:
            position = _restart(out)  # the store cannot begin in the middle
        if piece.start != position:
            raise ConnectionError(f"asked for byte {position}, got byte {piece.start}")
        position += len(piece.data)
        if file.size_bytes is not None and position > file.size_bytes:
            _restart(out)
            raise ConnectionError(f"more than {file.size_bytes} bytes came")
        if position > room_bytes:
            room_bytes = position + _FLUSH_BYTES
            make_room(room_bytes)
        out.write(piece.data)
    out.flush()
    return position


def _restart(out: BinaryIO) -> int:
    out.truncate(0)
    out.seek(0)
    return 0


def _verified(partial: Path, file: RemoteFile, shown: str, *, was_resumed: bool) -> str:
    """The digest of what came, which is the one it should have."""
    with partial.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    expected, found = file.sha256, sha256
    if not expected and file.md5:
        with partial.open("rb") as content:
            md5 = lambda: hashlib.md5(usedforsecurity=False)  # noqa: E731
            expected, found = file.md5, hashlib.file_digest(content, md5).hexdigest()
    if expected and found != expected:
        partial.unlink()
        kind = "sha256" if file.sha256 else "md5"
        raise LoadFailed(
            f"{shown}: wrong digest: expected {kind} {expected}, got {found}; nothing of it is "
            "used: check the digest, or whether the file was replaced",
            retryable=was_resumed,
        )
    return sha256
