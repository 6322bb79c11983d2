"""UnderWay: the micro-batches that are worked on, bounded in number and bytes."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final

import msgspec

from penstock.jobs.stream.record import Record
from penstock.telemetry.stream_stats import StreamStats

_LEAST_SHARE: Final = 4
"""Records of a share, at least."""


class Limits(msgspec.Struct, frozen=True):
    """What may be under way.

    Attributes:
        max_records: of one micro-batch.
        in_flight: micro-batches.
        max_bytes: of all records; one more micro-batch may cross it by what its records are
            larger than those before.
    """

    max_records: int = 256
    in_flight: int = 4
    max_bytes: int = 64 * 1024 * 1024


class UnderWay:
    """A task for each micro-batch, and whose records they have.

    Args:
        limits: how much there may be.
        stats: where it is shown.
    """

    def __init__(self, limits: Limits, stats: StreamStats) -> None:
        self._limits = limits
        self._stats = stats
        self._batches: dict[asyncio.Task[None], tuple[Sequence[Record], int]] = {}
        self._places: Counter[tuple[str, str]] = Counter()
        self._changed = asyncio.Event()
        self._failed: list[Record] = []
        self._record_bytes = 0.0
        self.failure: BaseException | None = None
        """What ended a micro-batch that must not fail; None: nothing did."""

    def __len__(self) -> int:
        """How many micro-batches there are."""
        return len(self._batches)

    def room(self) -> int:
        """How many records may be taken now; 0: it is full."""
        left = self._limits.max_bytes - self._stats.under_way_bytes
        if len(self._batches) >= self._limits.in_flight or left <= 0:
            return 0
        fitting = left / self._record_bytes if self._record_bytes else 1
        return max(1, min(self._limits.max_records, int(fitting)))

    def shares(self, records: Sequence[Record]) -> list[Sequence[Record]]:
        """These records as micro-batches, a share for each that may begin now.

        Results leave in order: a large micro-batch between small ones holds them up, and has one
        copy of the model work while the others wait, until as many records have come for the next
        large one. As many as a micro-batch takes are not shared out: more wait, and each
        micro-batch has its cost.
        """
        if len(records) >= self._limits.max_records:
            return [records]
        free = self._limits.in_flight - len(self._batches)
        count = max(1, min(free, len(records) // _LEAST_SHARE))
        size = max(1, math.ceil(len(records) / count))
        return [records[start : start + size] for start in range(0, len(records), size)]

    def begin(self, records: Sequence[Record], work: Coroutine[Any, Any, None]) -> None:
        """Work on these records, in a task."""
        num_bytes = sum(record.num_bytes for record in records)
        self._record_bytes = max(num_bytes / len(records), 0.9 * self._record_bytes)
        self._places.update(record.place for record in records)
        self._stats.under_way_records += len(records)
        self._stats.under_way_bytes += num_bytes
        self._stats.batch_records.observe(len(records))
        task = asyncio.create_task(work)
        self._batches[task] = records, num_bytes
        task.add_done_callback(self._end)

    async def change(self, timeout_s: float) -> None:
        """Return when a micro-batch ends, or after the time."""
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def without(self, places: Collection[tuple[str, str]]) -> None:
        """Return when nothing of these partitions is under way."""
        while any(self._places[place] for place in places):
            self._changed.clear()
            await self._changed.wait()

    async def cancel(self) -> list[Record]:
        """End what is under way; returns its records, and those of what failed: none of them are
        settled.
        """
        left = [record for records, _ in self._batches.values() for record in records]
        left += self._failed
        tasks = list(self._batches)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return left

    def _end(self, task: asyncio.Task[None]) -> None:
        records, num_bytes = self._batches.pop(task)
        self._places.subtract(record.place for record in records)
        self._places += Counter()  # forgets the partitions of which there is nothing
        self._stats.under_way_records -= len(records)
        self._stats.under_way_bytes -= num_bytes
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failure = self.failure or error
            self._failed += records
        self._changed.set()
