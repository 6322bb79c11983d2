"""Rows of a split as they are predicted: read with patience, numbered, transformed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from penstock.core.clock import Clock
from penstock.core.errors import PenstockError
from penstock.core.tensor import Array
from penstock.jobs.batch.parts import Cut
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.predict_rows import Rows
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.source import BadRow, BatchSource, ReadRows
from penstock.jobs.batch.split import Split
from penstock.jobs.batch.transform import Transform

_ROW_BYTES = 8  # a row's number


class Piece(NamedTuple):
    """Rows that were read together.

    Attributes:
        rows: the good ones, transformed.
        bad: those that could not be read.
        tally: what is counted of them so far.
    """

    rows: Rows
    bad: Sequence[BadRow]
    tally: SplitTally

    @property
    def num_bytes(self) -> int:
        """What it holds in memory."""
        rows = self.rows.batch
        raw = sum(len(bad.raw) for bad in self.bad)
        return int(rows.nbytes) + int(rows.num_rows) * _ROW_BYTES + raw


class RowReader:
    """Reads splits. Any thread; transforms for one at a time.

    Args:
        source: what is read.
        transform: what changes the rows.
        cut: how they are cut.
        patience: how often a read is tried.
        clock: whose time it takes.
    """

    def __init__(
        self,
        source: BatchSource,
        transform: Transform,
        cut: Cut,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._source = source
        self._transform = transform
        self._cut = cut
        self._patience = patience
        self._clock = clock
        self._transforming = threading.Lock()

    def pieces(self, split: Split, stop: threading.Event) -> Iterator[Piece]:
        """The rows of a split; the same pieces each time.

        Raises:
            JobInputError: it cannot be read or transformed.
            Cancelled: it was stopped while it waited.
        """
        reading = _Reading(self._source, split, self._cut)
        while True:
            started_ns = self._clock.monotonic_ns()
            read = self._patience.call(reading.next, stop)
            if read is None:
                return
            with self._transforming:
                rows = Rows(*self._transform.apply(read.batch, _numbers(read)))
            tally = SplitTally(
                rows_in=read.num_rows,
                rows_dead=len(read.bad),
                rows_dropped=read.batch.num_rows - rows.batch.num_rows,
                bytes_in=int(read.batch.nbytes) + sum(len(bad.raw) for bad in read.bad),
                seconds={"read": (self._clock.monotonic_ns() - started_ns) / 1e9},
            )
            yield Piece(rows, read.bad, tally)


class _Reading:
    """One pass over a split, which begins again after a failure and goes on where it was."""

    def __init__(self, source: BatchSource, split: Split, cut: Cut) -> None:
        self._source = source
        self._split = split
        self._cut = cut
        self._pieces: Iterator[ReadRows] | None = None
        self._next_row = 0

    def next(self) -> ReadRows | None:
        """The next piece; None: that was all."""
        if self._pieces is None:
            cut = self._cut
            self._pieces = self._source.read(self._split, cut.piece_rows, cut.piece_bytes)
        try:
            for read in self._pieces:
                if read.first_row >= self._next_row:
                    self._next_row = read.first_row + read.num_rows
                    return read
        except (PenstockError, OSError, MemoryError):
            self._pieces = None
            raise
        return None


def _numbers(read: ReadRows) -> Array:
    """The numbers of the good rows within the split."""
    numbers = np.arange(read.first_row, read.first_row + read.num_rows, dtype=np.int64)
    bad = [one.row - read.first_row for one in read.bad]
    return np.delete(numbers, bad) if bad else numbers
