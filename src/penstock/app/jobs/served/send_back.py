"""An output on its way to the client: one part of it, or all of them as one file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

from penstock.core.errors import InvalidArgument, NotReady
from penstock.server.jobs_api.desk import Download

ALL = "all"

_PIECE_BYTES = 256 * 1024
_MAX_HEADER_BYTES = 1024 * 1024
_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
_QUOTE, _NEWLINE = b'"', b"\n"


class _Stretch(NamedTuple):
    """A file from ``start`` to ``stop``, in bytes."""

    path: Path
    start: int
    stop: int


def download_of(folder: Path, names: Sequence[str], file: str, kind: str) -> Download:
    """Open nothing yet, but see that all is there. Blocks.

    Args:
        folder: of the output.
        names: of its parts, in order.
        file: the one that is wanted; ``all``: all of them.
        kind: the format.

    Raises:
        InvalidArgument: there is no such part, or parts of this format cannot be put together.
        NotReady: a file is gone.
    """
    if file != ALL and file not in names:
        raise InvalidArgument(f"file: expected '{ALL}' or a name from the job's result")
    wanted = list(names) if file == ALL else [file]
    if kind == "parquet" and len(wanted) > 1:
        raise InvalidArgument(
            f"file: {len(wanted)} parts of Parquet make no file together: ask for each by its name"
        )
    try:
        parts = [_Stretch(folder / name, 0, (folder / name).stat().st_size) for name in wanted]
        if kind == "csv":
            parts = [*parts[:1], *(_without_header(part) for part in parts[1:])]
    except OSError as err:
        raise _gone(err) from err
    length = sum(part.stop - part.start for part in parts)
    content_type = _TYPES.get(kind, "application/vnd.apache.parquet")
    return Download(content_type, length, _pieces(parts))


async def _pieces(parts: Sequence[_Stretch]) -> AsyncIterator[bytes]:
    for part in parts:
        try:
            with part.path.open("rb", buffering=0) as file:
                file.seek(part.start)
                left = part.stop - part.start
                while left:
                    piece = await asyncio.to_thread(file.read, min(left, _PIECE_BYTES))
                    if not piece:
                        raise NotReady("the output was cut while it was read")
                    left -= len(piece)
                    yield piece
        except OSError as err:
            raise _gone(err) from err


def _without_header(part: _Stretch) -> _Stretch:
    """A part without its first row, the names of the columns."""
    with part.path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    at = head.find(_NEWLINE)
    while at >= 0 and head.count(_QUOTE, 0, at) % 2:  # a line's end within quotes
        at = head.find(_NEWLINE, at + 1)
    return part._replace(start=at + 1) if at >= 0 else part


def _gone(err: OSError) -> NotReady:
    return NotReady(f"the job's output cannot be read: {err.strerror or err}")
