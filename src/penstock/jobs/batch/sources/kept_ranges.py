"""KeptRanges: where the splits of a table begin and end, so that rows that come make new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from penstock.jobs.batch.databases.database import KeyValue
from penstock.jobs.batch.durable import make_folder, write_whole

RANGES = "ranges.json"
"""The file, in a job's state folder, that has them."""

Range = tuple[KeyValue, KeyValue]


class _Kept(msgspec.Struct, frozen=True):
    request: str
    ranges: list[Range]


class KeptRanges:
    """The closed ranges of an earlier plan, in the job's state folder.

    Args:
        state: the folder; made when something is kept.
        request: what is planned; ranges of something else do not count.
    """

    def __init__(self, state: Path, request: str) -> None:
        self._file = state / RANGES
        self._request = request

    def get(self) -> list[Range]:
        """The ranges, in order; none where nothing was planned yet."""
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return []
        return kept.ranges if kept.request == self._request else []

    def put(self, ranges: Sequence[Range]) -> None:
        """Keep ranges, durably.

        Raises:
            JobOutputError: they cannot be written.
        """
        make_folder(self._file.parent)
        write_whole(self._file, msgspec.json.encode(_Kept(self._request, list(ranges))))
