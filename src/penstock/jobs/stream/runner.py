"""StreamRunner: takes records, has them predicted in micro-batches, and leaves nothing undone."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.core.errors import StreamError
from penstock.jobs.stream.delivery import Delivery, Doors, Turn
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.retry import BackOff, Patience, is_retryable
from penstock.jobs.stream.under_way import Limits, UnderWay
from penstock.telemetry.stream_stats import StreamStats

_log: Final = logging.getLogger("penstock.stream")

_SUSPECT: Final = 2
"""Delivered so often before, a record may be what ends those who have it: it goes alone."""


class RunnerOptions(msgspec.Struct, frozen=True):
    """How a runner goes about it.

    Attributes:
        limits: how much is under way.
        max_delay_s: how long the first record of a micro-batch waits for company; 0: none waits,
            and what is there is shared out among the micro-batches that may begin.
        back_off: between attempts.
        start_attempts: how often the broker is tried at the start; later on for ever.
        drain_s: how long what is under way may take at the end.
        revoke_s: how long it may take when partitions go to somebody else.
        poll_s: how long one poll waits, and the longest time between two of them.
        lag_s: how often the source is asked how far it is behind.
    """

    limits: Limits = Limits()
    max_delay_s: float = 0.0
    back_off: BackOff = BackOff()
    start_attempts: int = 5
    drain_s: float = 30.0
    revoke_s: float = 20.0
    poll_s: float = 0.5
    lag_s: float = 2.0


class StreamRunner:
    """Runs one stream on one event loop: a task for each micro-batch, none for a record.

    Laws: no record is settled before its effect is durable; at the end every record that was
    taken is settled or released; what is held is bounded by ``limits``. While a broker is away
    it waits.

    Args:
        doors: where records come from and go to.
        delivery: what is done with them.
        options: how.
        stats: what it counts in.
    """

    def __init__(
        self, doors: Doors, delivery: Delivery, options: RunnerOptions, stats: StreamStats
    ) -> None:
        self._doors = doors
        self._source = doors.source
        self._delivery = delivery
        self._options = options
        self._stats = stats
        self._under_way = UnderWay(options.limits, stats)
        self._stopping = asyncio.Event()
        self._patience = Patience(stats, options.back_off, self._nap)
        self._last_turn: Turn | None = None
        self._gathered: list[Record] = []
        self._suspects: deque[Record] = deque()
        self._is_careful = True

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until told to stop; then finish what is under way, and leave.

        Args:
            stopping: set by somebody else when it shall end.

        Raises:
            StreamError: a broker refuses, is not there at the start, or too much is rejected.
            ConfigError: the columns do not fit the model.
        """
        self._stopping = stopping
        measuring: asyncio.Task[None] | None = None
        try:
            await self._open()
            measuring = asyncio.create_task(self._measure())
            while not stopping.is_set():
                await self._turn_over()
            await self._finish()
        finally:
            if measuring is not None:
                measuring.cancel()
                await asyncio.gather(measuring, return_exceptions=True)
            await self._leave()

    async def _open(self) -> None:
        attempts = self._options.start_attempts
        doors = self._doors
        await self._patience("open", lambda: self._source.open(self._revoked), attempts=attempts)
        await self._patience("open", doors.sink.open, attempts=attempts)
        if doors.dead_letters is not None:
            await self._patience("open", doors.dead_letters.open, attempts=attempts)
        self._stats.is_connected = True

    async def _turn_over(self) -> None:
        """Take what may be taken, or wait for room."""
        self._check()
        if self._suspects:
            await self._quiet()
            if self._suspects:  # none of them has been revoked meanwhile
                self._begin([self._suspects.popleft()])
                await self._quiet()
            return
        room = self._under_way.room()
        if not room:
            await self._under_way.change(self._options.poll_s)
            if not self._under_way.room():
                await self._poll(0, 0.0)
            return
        await self._gather(1 if self._is_careful else room)
        records, self._gathered = self._gathered, []
        if records:
            self._take(records)

    async def _gather(self, room: int) -> None:
        """Fill ``_gathered``, from which a revoked partition's records go again."""
        self._gathered += await self._poll(room, self._options.poll_s)
        delay_s = self._options.max_delay_s
        if self._gathered and delay_s and len(self._gathered) < room:
            await asyncio.sleep(delay_s)
            self._gathered += await self._poll(room - len(self._gathered), 0.0)

    async def _poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Poll, for as long as it takes to reach the broker; nothing once we are to stop."""
        try:
            records = await self._source.poll(max_records, timeout_s)
        except StreamError as err:
            if not err.retryable:
                raise
            self._stats.is_connected = False
            records = await self._poll_again(max_records, timeout_s)
        self._stats.is_connected = True
        return records

    async def _poll_again(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        try:
            return await self._patience(
                "poll",
                lambda: self._source.poll(max_records, timeout_s),
                may_pass=lambda err: is_retryable(err) and not self._stopping.is_set(),
            )
        except StreamError as err:
            if err.retryable:  # we are to stop, and it is still away
                return ()
            raise

    def _take(self, records: Sequence[Record]) -> None:
        self._stats.received += len(records)
        again = [record for record in records if record.deliveries]
        self._stats.redelivered += len(again)
        suspects = [record for record in again if record.deliveries >= _SUSPECT]
        self._is_careful = bool(suspects)
        self._suspects.extend(suspects)
        fresh = [record for record in records if record.deliveries < _SUSPECT]
        together = bool(self._options.max_delay_s)
        for part in [fresh] if together else self._under_way.shares(fresh):
            if part:
                self._begin(part)

    def _begin(self, records: Sequence[Record]) -> None:
        turn = self._last_turn = Turn(self._last_turn)
        self._under_way.begin(records, self._delivery.carry(records, turn))

    async def _quiet(self) -> None:
        """Return when nothing is under way; keeps our place in the group meanwhile."""
        while len(self._under_way):
            await self._under_way.change(self._options.poll_s)
            await self._poll(0, 0.0)
            self._check()

    def _check(self) -> None:
        if self._under_way.failure is not None:
            raise self._under_way.failure

    async def _finish(self) -> None:
        """Let what is under way come to its end, for so long as it may take."""
        try:
            async with asyncio.timeout(self._options.drain_s):
                await self._quiet()
        except TimeoutError:
            _log.warning(
                "stream '%s': %d records are not done in time and will be delivered again",
                self._stats.name,
                self._stats.under_way_records,
            )
        self._check()

    async def _leave(self) -> None:
        left = await self._under_way.cancel()
        await self._source.release([*left, *self._suspects, *self._gathered])
        if self._doors.dead_letters is not None:
            await self._doors.dead_letters.close()
        await self._doors.sink.close()
        await self._source.close()
        self._stats.is_connected = False

    async def _revoked(self, places: frozenset[tuple[str, str]]) -> None:
        """Finish what is under way of these partitions, for so long as it may take."""
        self._gathered[:] = [r for r in self._gathered if r.place not in places]
        kept = [record for record in self._suspects if record.place not in places]
        self._suspects = deque(kept)
        try:
            async with asyncio.timeout(self._options.revoke_s):
                await self._under_way.without(places)
        except TimeoutError:
            _log.warning(
                "stream '%s': partitions are taken away before their records are done; whoever "
                "has them now does them again",
                self._stats.name,
            )

    async def _measure(self) -> None:
        """Ask now and then how far behind the source is."""
        while True:
            try:
                lag = await self._source.lag()
                self._stats.lag, self._stats.oldest_ms = lag.records, lag.oldest_ms
            except StreamError:
                self._stats.lag = self._stats.oldest_ms = None
            await asyncio.sleep(self._options.lag_s)

    async def _nap(self, delay_s: float) -> None:
        """Sleep; a stop cuts it short."""
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return
