"""Blocks of whole records of a range of a text file, wherever the range is cut."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

_HEAD_BYTES = 64 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Records that follow each other.

    Attributes:
        data: their bytes, with the ends of lines.
        is_too_long: it is the start of a single record that is longer than one may be.
    """

    data: bytes
    is_too_long: bool = False


class Cutter(Protocol):
    """Where records end."""

    def ends(self, data: bytes | bytearray) -> npt.NDArray[np.intp]:
        """The offset behind each record that ends within ``data``, which begins with a record."""
        ...

    def last_end(self, data: bytes | bytearray) -> int:
        """The last of ``ends``; 0: none."""
        ...

    def rest(self, data: bytes | bytearray, *, is_quoted: bool) -> tuple[int, bool]:
        """Where a record ends of which ``data`` is no longer the start.

        Args:
            data: how it goes on.
            is_quoted: whether ``data`` begins within quotes.

        Returns:
            the offset behind it, 0: it goes on; and whether ``data`` ends within quotes.
        """
        ...


class LineCutter:
    """Every line is a record."""

    def ends(self, data: bytes | bytearray) -> npt.NDArray[np.intp]:
        """See ``Cutter``."""
        return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1

    def last_end(self, data: bytes | bytearray) -> int:
        """See ``Cutter``."""
        return data.rfind(b"\n") + 1

    def rest(self, data: bytes | bytearray, *, is_quoted: bool) -> tuple[int, bool]:
        """See ``Cutter``."""
        return data.find(b"\n") + 1, is_quoted


class QuotedCutter:
    """A line ends a record unless an odd number of quotes stands before its end.

    Args:
        quote: one ASCII character; doubled, it stands for itself.
    """

    def __init__(self, quote: str) -> None:
        self._quote = ord(quote)

    def ends(self, data: bytes | bytearray) -> npt.NDArray[np.intp]:
        """See ``Cutter``."""
        numbers = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(numbers == self._quote)
        lines = np.flatnonzero(numbers == ord("\n"))
        found: npt.NDArray[np.intp] = lines[np.searchsorted(quotes, lines) % 2 == 0] + 1
        return found

    def last_end(self, data: bytes | bytearray) -> int:
        """See ``Cutter``."""
        ends = self.ends(data)
        return int(ends[-1]) if len(ends) else 0

    def rest(self, data: bytes | bytearray, *, is_quoted: bool) -> tuple[int, bool]:
        """See ``Cutter``."""
        lead = bytes([self._quote]) * is_quoted
        ends = self.ends(lead + data)
        is_quoted ^= bool(data.count(self._quote) % 2)
        return (int(ends[0]) - len(lead) if len(ends) else 0), is_quoted


class RecordBlocks:
    """Reads the records of a range: those that begin in it, the last one to its end.

    Law: where ranges of lines follow each other without a gap, their records are those of the
    file, each once and in order.

    Args:
        file: what is read; it is sought in only where a range does not begin at 0.
        cutter: where records end; ranges that do not begin at 0 are of lines.
        block_bytes: about how much is read at once.
        max_record_bytes: of a longer record, only the first 64 KiB are kept.
    """

    def __init__(
        self, file: io.BufferedIOBase, cutter: Cutter, block_bytes: int, max_record_bytes: int
    ) -> None:
        self._file = file
        self._cutter = cutter
        self._block_bytes = block_bytes
        self._max_bytes = max_record_bytes
        self._held = bytearray()
        self._place = 0
        """The offset of ``held`` in the file: a record's first byte."""
        self._is_at_end = False

    def header(self) -> bytes:
        """The first record that is no empty line, without the end of its line; b"": there is none.
        At most once, and before ``blocks``.
        """
        while True:
            end, _ = self._cutter.rest(self._held, is_quoted=False)
            if not end and not self._is_at_end and len(self._held) <= self._max_bytes:
                self._read_more()
                continue
            line = self._taken(end or len(self._held)).strip(b"\r\n")
            if line or (self._is_at_end and not self._held):
                return line

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        """The records that begin in ``[start, stop)`` and were not read as header.

        Args:
            start: in bytes.
            stop: in bytes; None: the end of the file.
        """
        if start > self._place:
            self._seek(start)
        while stop is None or self._place < stop:
            end = self._next_end(stop)
            if end:
                yield from self._within_limit(self._taken(end))
            elif self._is_at_end:
                return
            elif len(self._held) > self._max_bytes:
                yield Block(bytes(self._held[:_HEAD_BYTES]), is_too_long=True)
                self._skip_record()
            else:
                self._read_more()

    def _seek(self, start: int) -> None:
        """Stand at the first line that begins at ``start`` or behind it."""
        self._file.seek(start - 1)
        self._held.clear()
        self._place = start - 1
        self._is_at_end = False
        self._skip_record()

    def _next_end(self, stop: int | None) -> int:
        """How much of ``held`` are records that are ours; 0: none is whole yet."""
        end = len(self._held) if self._is_at_end else self._cutter.last_end(self._held)
        if stop is None or self._place + end < stop:
            return end
        line_end = self._held.find(b"\n", stop - 1 - self._place) + 1
        return line_end or end

    def _within_limit(self, data: bytes) -> Iterator[Block]:
        """The records of ``data``; those that are too long by themselves."""
        if len(data) <= self._max_bytes:
            yield Block(data)
            return
        starts = [0, *self._cutter.ends(data).tolist()]
        if starts[-1] < len(data):
            starts.append(len(data))
        first = 0
        for start, end in pairwise(starts):
            if end - start > self._max_bytes:
                if first < start:
                    yield Block(data[first:start])
                yield Block(data[start : start + _HEAD_BYTES], is_too_long=True)
                first = end
        if first < len(data):
            yield Block(data[first:])

    def _skip_record(self) -> None:
        """Drop all up to the end of this record, holding no more than a block of it."""
        is_quoted = False
        while True:
            end, is_quoted = self._cutter.rest(self._held, is_quoted=is_quoted)
            self._drop(end or len(self._held))
            if end or self._is_at_end:
                return
            self._read_more()

    def _read_more(self) -> None:
        # twice as much each time, so that a long record is not looked through again and again
        want = max(self._block_bytes, min(len(self._held), self._max_bytes))
        data = read_fully(self._file, want)
        self._is_at_end = len(data) < want
        self._held += data

    def _taken(self, num_bytes: int) -> bytes:
        """The first bytes of ``held``, which are dropped; without the mark of byte order."""
        with memoryview(self._held) as held:
            data = bytes(held[:num_bytes])
        is_first = self._place == 0
        self._drop(num_bytes)
        return data.removeprefix(_BYTE_ORDER_MARK) if is_first else data

    def _drop(self, num_bytes: int) -> None:
        del self._held[:num_bytes]
        self._place += num_bytes


def read_fully(file: io.BufferedIOBase, num_bytes: int) -> bytes:
    """So many bytes, or fewer where the file ends: some streams give less at a time."""
    parts = []
    while num_bytes and (data := file.read(num_bytes)):
        parts.append(data)
        num_bytes -= len(data)
    return b"".join(parts)
