"""Delivery: what a micro-batch came to leaves, in the order in which records came."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from penstock.core.errors import PenstockError, StreamError
from penstock.jobs.stream.dead_letter import dead_letter
from penstock.jobs.stream.micro_batch import Effects, MicroBatches
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.retry import Patience
from penstock.jobs.stream.source import ExactlyOnce, StreamSink, StreamSource
from penstock.telemetry.stream_stats import StreamStats

_MS = 1_000_000


class Doors(msgspec.Struct, frozen=True):
    """Where records come from and what they come to goes.

    Attributes:
        source: of the records.
        sink: of the results, or what sends and settles in one.
        dead_letters: of the records that cannot be predicted; None: there is none.
    """

    source: StreamSource
    sink: StreamSink | ExactlyOnce
    dead_letters: StreamSink | None = None


class Rejection(msgspec.Struct, frozen=True):
    """What becomes of records that cannot be predicted.

    Attributes:
        poison: they become dead letters, are dropped, or stop the stream.
        stop_after: so many one after the other stop the stream, as something else must be wrong;
            0: they never do.
    """

    poison: Literal["dead_letter", "drop", "stop"] = "dead_letter"
    stop_after: int = 1000


class Turn:
    """A place in the order: what is under way together is worked out in any order, and leaves one
    after the other.
    """

    def __init__(self, before: Turn | None) -> None:
        self.done = asyncio.Event()
        self._before: asyncio.Event | None = before.done if before else None

    async def come(self) -> None:
        """Return when all before have left."""
        if self._before is not None:
            await self._before.wait()
            self._before = None


class Delivery:
    """Carries micro-batches from their records to their being settled.

    Laws: a record is settled only after its result, or its dead letter, is durable; results leave
    in the order of their records.

    Args:
        doors: where to.
        batches: works out what to send.
        patience: tries again.
        rejection: what becomes of what cannot be predicted.
        stats: counts.
        model: the model's name, for dead letters.
    """

    def __init__(
        self,
        doors: Doors,
        batches: MicroBatches,
        patience: Patience,
        rejection: Rejection,
        stats: StreamStats,
        model: str,
    ) -> None:
        self._doors = doors
        self._batches = batches
        self._patience = patience
        self._rejection = rejection
        self._stats = stats
        self._model = model
        self._rejected_in_a_row = 0

    async def carry(self, records: Sequence[Record], turn: Turn) -> None:
        """Bring these records to their end. ``turn`` is done then, unless this raises.

        Raises:
            ConfigError: the columns do not fit the model.
            StreamError: a broker refuses what it will not take later, or too much is rejected.
        """
        effects = await self._batches.effects(records)
        await turn.come()
        await self._reject(effects.rejected)
        settled_ns = await self._send(effects, records, turn)
        if settled_ns:
            self._count(effects, records, settled_ns)

    async def _send(self, effects: Effects, records: Sequence[Record], turn: Turn) -> int:
        """Send the results and settle the records; when it was durable, 0 if it was called off."""
        sink = self._doors.sink
        if isinstance(sink, ExactlyOnce):
            both = functools.partial(sink.write_and_settle, effects.results, records)
            is_ours = await self._patience("write", both)
            turn.done.set()
            return time.time_ns() if is_ours else 0
        if effects.results:
            await self._patience("write", functools.partial(sink.write, effects.results))
        durable_ns = time.time_ns()
        turn.done.set()
        source = self._doors.source
        await self._patience("settle", functools.partial(source.settle, records))
        return durable_ns

    async def _reject(self, rejected: Sequence[tuple[Record, PenstockError]]) -> None:
        if not rejected:
            return
        record, error = rejected[0]
        if self._rejection.poison == "stop":
            raise StreamError(
                f"{_told(record)} cannot be predicted: {error.message}; the stream stops there, as "
                "on_error.poison says",
                retryable=False,
            )
        sink = self._doors.dead_letters
        if self._rejection.poison == "dead_letter" and sink is not None:
            letters = [dead_letter(record, error, self._model) for record, error in rejected]
            await self._patience("dead_letters", functools.partial(sink.write, letters))

    def _count(self, effects: Effects, records: Sequence[Record], durable_ns: int) -> None:
        stats = self._stats
        stats.predicted += len(effects.results)
        stats.dropped += effects.num_dropped
        for _, error in effects.rejected:
            if self._rejection.poison == "dead_letter":
                stats.died(str(error.code))
            else:
                stats.dropped += 1
        durable_ms = durable_ns // _MS
        for record in records:
            if record.time_ms:
                stats.age_ns.observe(max(0, durable_ms - record.time_ms) * _MS)
        self._check(effects)

    def _check(self, effects: Effects) -> None:
        """Stop a stream of which nothing can be predicted any more.

        Raises:
            StreamError: so it is.
        """
        if effects.results or effects.num_dropped:
            self._rejected_in_a_row = 0
            return
        self._rejected_in_a_row += len(effects.rejected)
        limit = self._rejection.stop_after
        if limit and self._rejected_in_a_row >= limit:
            record, error = effects.rejected[-1]
            raise StreamError(
                f"the last {self._rejected_in_a_row} records could not be predicted; something "
                f"else must be wrong. The last one, {_told(record)}: {error.message}",
                retryable=False,
            )


def _told(record: Record) -> str:
    place = f" of partition {record.partition}" if record.partition else ""
    return f"record {record.position}{place} of '{record.stream}'"
