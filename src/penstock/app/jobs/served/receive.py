"""An upload on its way to the disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from penstock.app.jobs.served.jobs_folder import no_room
from penstock.core.errors import InvalidArgument, TooLarge

_WRITE_BYTES = 1024 * 1024


async def receive(body: AsyncIterator[bytes], length: int, path: Path, max_bytes: int) -> str:
    """Write a body to a new file as it comes; a mebibyte of it is in memory at most, or a piece.

    Args:
        body: the pieces.
        length: as announced; -1: it was not.
        path: the file.
        max_bytes: the most that it may take.

    Returns:
        its sha256 (hex).

    Raises:
        TooLarge: it takes more.
        InvalidArgument: there is nothing in it.
        NotReady: there is no room.
        PenstockError: what ``body`` raises.
    """
    if length > max_bytes:
        raise _too_large(max_bytes)
    digest, held, num_bytes = hashlib.sha256(), bytearray(), 0
    try:
        with path.open("xb", buffering=0) as file:

            def write(data: bytes) -> None:
                digest.update(data)
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]

            async for piece in body:
                num_bytes += len(piece)
                if num_bytes > max_bytes:
                    raise _too_large(max_bytes)
                held += piece
                if len(held) >= _WRITE_BYTES:
                    await asyncio.to_thread(write, bytes(held))
                    held.clear()
            await asyncio.to_thread(write, bytes(held))
    except OSError as err:
        raise no_room(err) from err
    if not num_bytes:
        raise InvalidArgument("the upload is empty: send the file as the request's body")
    return digest.hexdigest()


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"the upload exceeds {max_bytes} bytes, the setting jobs.max_upload_bytes of the server"
    )
