"""A broker in memory: partitions, one group, deliveries counted; for tests and first steps."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence

from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.source import Lag, OnRevoked


class MemoryTopic:
    """Partitions of records, and how far one group of readers is with them.

    Attributes:
        name: the topic's name.
        settled: (partition, position) of the records that are done with.
    """

    def __init__(self, name: str, num_partitions: int = 1) -> None:
        self.name = name
        self.settled: set[tuple[str, str]] = set()
        self._partitions = [str(number) for number in range(num_partitions)]
        self._records: dict[tuple[str, str], Record] = {}
        self._waiting: list[tuple[str, str]] = []
        self._taken: dict[tuple[str, str], MemorySource] = {}
        self._deliveries: dict[tuple[str, str], int] = {}
        self._counter = itertools.count()
        self._arrived = asyncio.Event()

    def put(self, value: bytes, *, key: bytes | None = None, partition: int | None = None) -> str:
        """Add a record; returns its position. Without a partition: in turns."""
        number = next(self._counter)
        place = self._partitions[(number if partition is None else partition) % self._size]
        record = Record(
            self.name, place, str(number), value, key, time_ms=time.time_ns() // 1_000_000
        )
        self._records[place, record.position] = record
        self._waiting.append((place, record.position))
        self._arrived.set()
        return record.position

    def again(self, partition: str, position: str) -> None:
        """Deliver a record once more, as brokers do now and then."""
        self._waiting.append((partition, position))
        self._arrived.set()

    def shuffle(self, order: Sequence[int]) -> None:
        """Deliver what waits in this order of its places."""
        self._waiting = [self._waiting[place] for place in order]

    def crashed(self, source: MemorySource) -> None:
        """A reader is gone: what it had taken is delivered to others."""
        lost = [at for at, owner in self._taken.items() if owner is source]
        for at in lost:
            del self._taken[at]
        self._waiting[:0] = lost
        self._arrived.set()

    @property
    def _size(self) -> int:
        return len(self._partitions)

    def take(self, source: MemorySource, max_records: int) -> list[Record]:
        """The next records, which this reader has from now on."""
        taken: list[Record] = []
        while self._waiting and len(taken) < max_records:
            at = self._waiting.pop(0)
            times = self._deliveries.get(at, 0)
            self._deliveries[at] = times + 1
            self._taken[at] = source
            record = self._records[at]
            taken.append(
                Record(
                    record.stream,
                    record.partition,
                    record.position,
                    record.value,
                    record.key,
                    record.headers,
                    record.time_ms,
                    times,
                )
            )
        return taken

    async def wait(self) -> None:
        """Return when there may be something to take."""
        if not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()

    def settle(self, records: Iterable[Record]) -> None:
        """These are done with."""
        for record in records:
            self.settled.add((record.partition, record.position))
            self._taken.pop((record.partition, record.position), None)

    def release(self, records: Iterable[Record]) -> None:
        """These are to be delivered again."""
        at = [(record.partition, record.position) for record in records]
        for one in at:
            self._taken.pop(one, None)
        self._waiting[:0] = at
        self._arrived.set()

    def lag(self) -> Lag:
        """What waits."""
        times = [self._records[at].time_ms for at in self._waiting]
        return Lag(len(times), min(times, default=None))


class MemorySource:
    """A ``StreamSource``: one reader of a topic."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic

    async def open(self, on_revoked: OnRevoked) -> None:
        """Nothing to do."""

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """See ``StreamSource.poll``."""
        if not max_records:
            return ()
        try:
            async with asyncio.timeout(timeout_s):
                await self._topic.wait()
        except TimeoutError:
            return ()
        return self._topic.take(self, max_records)

    async def settle(self, records: Sequence[Record]) -> None:
        """See ``StreamSource.settle``."""
        self._topic.settle(records)

    async def release(self, records: Sequence[Record]) -> None:
        """See ``StreamSource.release``."""
        self._topic.release(records)

    async def lag(self) -> Lag:
        """See ``StreamSource.lag``."""
        return self._topic.lag()

    async def close(self) -> None:
        """Nothing to do."""


class MemorySink:
    """A ``StreamSink`` that has one effect for each id.

    Attributes:
        kept: what was sent, by id; the first one counts.
        writes: results that were sent, those again included.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Produced] = {}
        self.writes = 0

    async def open(self) -> None:
        """Nothing to do."""

    async def write(self, results: Sequence[Produced]) -> None:
        """Keep them."""
        for result in results:
            self.writes += 1
            self.kept.setdefault(result.id, result)

    async def close(self) -> None:
        """Nothing to do."""
