"""Each broker as the contract suites see it: new sources and sinks on a stream of its own."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.source import StreamSink, StreamSource

PATIENCE_S = 30.0


class Bench(Protocol):
    """One broker, and one stream of it that is new.

    Attributes:
        has_ids: whether what is sent twice with one id is kept once.
        num_partitions: of the stream.
    """

    has_ids: bool
    num_partitions: int

    def source(self) -> StreamSource: ...

    def sink(self) -> StreamSink: ...


async def nobody(places: frozenset[tuple[str, str]]) -> None:
    """Nothing is under way."""


@asynccontextmanager
async def opened(
    source: StreamSource, on_revoked: Callable[..., Awaitable[None]] = nobody
) -> AsyncIterator[StreamSource]:
    """A source that is open, and closed in the end."""
    await source.open(on_revoked)
    try:
        yield source
    finally:
        await source.close()


def result(number: int, *, key: bytes | None = None, name: str = "", pad: int = 0) -> Produced:
    """The n-th message, whose body tells its number."""
    origin = Record("origin", "0", str(number), b"")
    body = str(number).encode() + b" " * pad
    return Produced(name or str(uuid.uuid4()), body, key, {"n": str(number).encode()}, origin)


async def send(bench: Bench, numbers: Iterable[int], pad: int = 0) -> None:
    """Put messages into the stream; the key tells their partition."""
    sink = bench.sink()
    await sink.open()
    await sink.write([result(n, key=str(n % 7).encode(), pad=pad) for n in numbers])
    await sink.close()


def numbers(records: Iterable[Record]) -> list[int]:
    """The numbers of messages."""
    return [int(record.value) for record in records]


async def take(source: StreamSource, count: int, patience_s: float = PATIENCE_S) -> list[Record]:
    """Exactly so many records, settled by nobody yet."""
    taken: list[Record] = []
    give_up = time.monotonic() + patience_s
    while len(taken) < count and time.monotonic() < give_up:
        taken += await source.poll(count - len(taken), 0.2)
    assert len(taken) == count, f"{len(taken)} of {count} came"
    return taken


async def poll_on(
    source: StreamSource, max_records: int = 5, into: list[Record] | None = None
) -> None:
    """Poll for a while, or until that raises; what comes is held, and added to ``into``."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        records = await source.poll(max_records, 0.1)
        if into is not None:
            into += records


async def take_nothing(source: StreamSource, for_s: float = 0.8) -> None:
    """Nothing comes within that time."""
    give_up = time.monotonic() + for_s
    while time.monotonic() < give_up:
        assert numbers(await source.poll(100, 0.1)) == []


async def until_lag(source: StreamSource, records: int) -> None:
    """Wait until it is so far behind."""
    give_up = time.monotonic() + PATIENCE_S
    seen: list[int | None] = []
    while time.monotonic() < give_up:
        seen.append((await source.lag()).records)
        if seen[-1] == records:
            return
        await source.poll(0, 0.05)
    raise AssertionError(f"the lag is not {records}: {seen[-5:]}")


async def share(sources: Sequence[StreamSource], count: int) -> list[list[int]]:
    """Have all of them take and settle until so many different messages have come."""
    came: list[list[int]] = [[] for _ in sources]
    seen: set[int] = set()
    give_up = time.monotonic() + PATIENCE_S

    async def work(place: int) -> None:
        while len(seen) < count and time.monotonic() < give_up:
            records = await sources[place].poll(10, 0.1)
            await asyncio.sleep(0.02)
            await sources[place].settle(records)
            came[place] += numbers(records)
            seen.update(numbers(records))

    await asyncio.gather(*(work(place) for place in range(len(sources))))
    assert seen == set(range(count))
    return came
