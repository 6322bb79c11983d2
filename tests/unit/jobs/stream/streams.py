"""A stream in memory: a topic, a model that shouts, sinks that keep, and a runner between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from penstock.jobs.stream.decode import Decoder
from penstock.jobs.stream.delivery import Delivery, Doors, Rejection
from penstock.jobs.stream.encode import Encoder
from penstock.jobs.stream.memory_broker import MemorySink, MemorySource, MemoryTopic
from penstock.jobs.stream.micro_batch import MicroBatches
from penstock.jobs.stream.model import StreamModel
from penstock.jobs.stream.retry import BackOff, Patience
from penstock.jobs.stream.runner import RunnerOptions, StreamRunner
from penstock.jobs.stream.source import ExactlyOnce, StreamSink, StreamSource
from penstock.jobs.stream.under_way import Limits
from penstock.telemetry.stream_stats import StreamStats
from penstock.testing.faulty_stream import FakeStreamModel

SOON = BackOff(0.001, 0.002)


def value(text: str) -> bytes:
    """A record's value."""
    return json.dumps({"text": text}).encode()


class Plant:
    """Everything of one stream; each ``run`` is another runner on the same topic and sinks."""

    def __init__(
        self,
        texts: Iterable[str | bytes] = (),
        *,
        model: StreamModel | None = None,
        num_partitions: int = 1,
        limits: Limits | None = None,
        max_attempts: int = 5,
        rejection: Rejection | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.topic = MemoryTopic("tweets", num_partitions)
        self.sink, self.dead = MemorySink(), MemorySink()
        self.model = model or FakeStreamModel()
        self.stats = StreamStats("test")
        self.limits = limits or Limits(max_records=4, in_flight=3)
        self.max_attempts = max_attempts
        self.rejection = rejection or Rejection()
        self.options = {"poll_s": 0.01, "lag_s": 0.01, "back_off": SOON, **(options or {})}
        self.positions = [self.put(text) for text in texts]

    def put(self, text: str | bytes) -> str:
        return self.topic.put(text if isinstance(text, bytes) else value(text))

    def runner(
        self,
        *,
        source: StreamSource | None = None,
        sink: StreamSink | ExactlyOnce | None = None,
        dead: StreamSink | None = None,
        model: StreamModel | None = None,
    ) -> StreamRunner:
        model = model or self.model
        doors = Doors(source or MemorySource(self.topic), sink or self.sink, dead or self.dead)
        patience = Patience(self.stats, SOON)
        batches = MicroBatches(model, Decoder({}), Encoder(), patience, self.max_attempts)
        delivery = Delivery(doors, batches, patience, self.rejection, self.stats, model.name)
        options = RunnerOptions(limits=self.limits, **self.options)
        return StreamRunner(doors, delivery, options, self.stats)

    async def run(self, runner: StreamRunner | None = None, timeout_s: float = 10) -> None:
        """Run until everything is settled, then stop it."""
        stopping = asyncio.Event()
        running = asyncio.create_task((runner or self.runner()).run(stopping))
        watching = asyncio.create_task(self._settled(stopping))
        try:
            async with asyncio.timeout(timeout_s):
                await running
        finally:
            watching.cancel()
            running.cancel()
            await asyncio.gather(watching, running, return_exceptions=True)

    async def _settled(self, stopping: asyncio.Event) -> None:
        while len(self.topic.settled) < len(self.positions):  # noqa: ASYNC110 - it is watched
            await asyncio.sleep(0)
        stopping.set()

    def said(self) -> list[str]:
        """What stands at the sink, in order."""
        return [json.loads(result.value)["loud"] for result in self.sink.kept.values()]

    def effects(self) -> dict[str, list[str]]:
        """By position of the record: the ids at both sinks, ``dead`` before those of letters."""
        found: dict[str, list[str]] = {position: [] for position in self.positions}
        for result in self.sink.kept.values():
            found[result.source.position].append(result.id)
        for letter in self.dead.kept.values():
            found[letter.source.position].append(f"dead {letter.id}")
        return found
