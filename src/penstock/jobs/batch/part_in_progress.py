"""PartInProgress: one attempt at a split's part and its dead letters; both, or neither."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from penstock.core.clock import Clock
from penstock.core.errors import Internal
from penstock.jobs.batch.dead import DeadWriter
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import PartWriter
from penstock.jobs.batch.source import BadRow
from penstock.jobs.batch.work import SplitOutcome, Work

_NS = 1_000_000_000


class PartInProgress:
    """Writes one part. One thread.

    Args:
        parts: the job.
        work: the split.
        schema: of the output.
        clock: whose time it takes.
    """

    def __init__(self, parts: JobParts, work: Work, schema: pa.Schema, clock: Clock) -> None:
        self._sink = parts.sink
        self._work = work
        self._schema = schema
        self._clock = clock
        self._tally = SplitTally()
        self._seconds = 0.0
        self._writer: PartWriter | None = None
        self._dead = DeadWriter(parts.state, work.id, str(work.split), parts.predictors.identity)

    def write(
        self, batches: Sequence[pa.RecordBatch], dead: Sequence[BadRow], tally: SplitTally
    ) -> None:
        """Append what became of rows.

        Args:
            batches: rows of the output.
            dead: rows that could not be predicted, in order.
            tally: what is counted of all of these rows.

        Raises:
            JobOutputError: they cannot be written.
        """
        started_ns = self._clock.monotonic_ns()
        writer = self._open()
        for batch in batches:
            if batch.num_rows:
                writer.write(batch)
        self._dead.write(dead)
        self._tally = self._tally.plus(tally)
        self._spend(started_ns)

    def commit(self) -> SplitOutcome:
        """Have all of it there for good: the dead letters first, then the part.

        Raises:
            JobOutputError: it cannot be written; the part is not there.
            Internal: a row is missing.
        """
        started_ns = self._clock.monotonic_ns()
        if not self._tally.is_whole:
            raise Internal(f"{self._work.split}: rows were lost: {self._tally}")
        writer = self._open()
        self._dead.commit()
        receipt = writer.commit()
        self._spend(started_ns)
        told = SplitTally(bytes_out=receipt.num_bytes, seconds={"write": self._seconds})
        return SplitOutcome(self._tally.plus(told), receipt)

    def abort(self) -> None:
        """Forget what was written."""
        self._dead.abort()
        if self._writer is not None:
            self._writer.abort()

    def _open(self) -> PartWriter:
        if self._writer is None:
            self._writer = self._sink.open(self._work.id, self._schema)
        return self._writer

    def _spend(self, since_ns: int) -> None:
        self._seconds += (self._clock.monotonic_ns() - since_ns) / _NS
