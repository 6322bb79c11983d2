"""The brokers of the streams benchmark: servers of its own, in memory, and their clients."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.arms.arm import ArmError
from benchmarks.processes import ServerProcess, free_port

OnArrival = Callable[[bytes], None]
_PAGE = 5000
_START_S = 10.0


class Broker(ABC):
    """A client of one server with the streams `in` and `out`.

    Args:
        url: where it is.
    """

    command: ClassVar[tuple[str, ...]]
    """Its server's; {port} and {folder} stand in it."""
    doors: ClassVar[str]
    """What STREAM.yaml says of source, sink and dead letters; {url} stands in it."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    async def open(self) -> None:
        """Connect, and make the streams that are not there."""

    @abstractmethod
    async def send(self, values: Sequence[bytes]) -> None:
        """Add records to `in`."""

    @abstractmethod
    async def answered(self) -> int:
        """Return how many answers there are."""

    @abstractmethod
    async def listen(self, on_arrival: OnArrival) -> None:
        """Tell of each answer from now on, until cancelled."""

    @abstractmethod
    async def close(self) -> None:
        """Leave."""


class RedisStreams(Broker):
    """Redis, which writes nothing to disk."""

    field = "value"

    command = ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "")
    doors = """
source: {{broker: redis, url: "{url}", stream: in, group: g}}
sink: {{broker: redis, url: "{url}", stream: out}}
dead_letters: {{broker: redis, url: "{url}", stream: dead}}
"""

    async def open(self) -> None:
        """See `Broker.open`."""
        from redis.asyncio import Redis

        self._client: Any = Redis.from_url(self.url)

    async def send(self, values: Sequence[bytes]) -> None:
        """See `Broker.send`."""
        for start in range(0, len(values), _PAGE):
            pipeline = self._client.pipeline(transaction=False)
            for value in values[start : start + _PAGE]:
                pipeline.xadd("in", {self.field: value})
            await pipeline.execute()

    async def answered(self) -> int:
        """See `Broker.answered`."""
        return int(await self._client.xlen("out"))

    async def listen(self, on_arrival: OnArrival) -> None:
        """See `Broker.listen`."""
        last = "$"
        while True:
            for _, entries in await self._client.xread({"out": last}, block=1000) or ():
                last = entries[-1][0]
                for _, fields in entries:
                    on_arrival(self.value(fields))

    def value(self, fields: Mapping[bytes, bytes]) -> bytes:
        """Return what an answer says."""
        return fields[b"value"]

    async def close(self) -> None:
        """See `Broker.close`."""
        await self._client.aclose()


class FastStreamStreams(RedisStreams):
    """Redis as FastStream writes it: one field, headers and value in it."""

    field = "__data__"

    def value(self, fields: Mapping[bytes, bytes]) -> bytes:
        """Return what an answer says: headers in binary stand before it."""
        framed = fields[b"__data__"]
        return framed[framed.index(b'{"label"') :]


class NatsStreams(Broker):
    """NATS JetStream, streams in memory."""

    command = ("nats-server", "-a", "127.0.0.1", "-p", "{port}", "-js", "-sd", "{folder}")
    doors = """
source: {{broker: nats, url: "{url}", stream: IN, subject: in, group: g}}
sink: {{broker: nats, url: "{url}", stream: OUT, subject: out}}
dead_letters: {{broker: nats, url: "{url}", stream: OUT, subject: dead}}
"""

    async def open(self) -> None:
        """See `Broker.open`."""
        import nats
        from nats.js.api import StorageType

        self._client = await nats.connect(self.url)
        self._jetstream = self._client.jetstream()
        for name, subjects in (("IN", ["in"]), ("OUT", ["out", "dead"])):
            await self._jetstream.add_stream(
                name=name, subjects=subjects, storage=StorageType.MEMORY
            )

    async def send(self, values: Sequence[bytes]) -> None:
        """See `Broker.send`."""
        for start in range(0, len(values), _PAGE):
            for value in values[start : start + _PAGE]:
                await self._client.publish("in", value)
            await self._client.flush()

    async def answered(self) -> int:
        """See `Broker.answered`."""
        return int((await self._jetstream.stream_info("OUT")).state.messages)

    async def listen(self, on_arrival: OnArrival) -> None:
        """See `Broker.listen`."""
        from nats.js.api import DeliverPolicy

        async def told(message: Any) -> None:
            on_arrival(message.data)

        await self._jetstream.subscribe(
            "out", cb=told, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW
        )
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See `Broker.close`."""
        await self._client.close()


BROKERS: dict[str, type[Broker]] = {
    "redis": RedisStreams,
    "nats": NatsStreams,
    "faststream": FastStreamStreams,
}


def start_broker(kind: str, folder: Path) -> tuple[ServerProcess, str]:
    """Start a server on a free port; return it and its URL.

    Raises FileNotFoundError when it is not installed, ArmError when it does not come up.
    """
    program, *options = BROKERS[kind].command
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin")
    if path is None:
        raise FileNotFoundError(f"no {program} here: apt-get install {program}")
    port = free_port()
    command = [path, *(one.format(port=port, folder=folder) for one in options)]
    server = ServerProcess(command, folder / "broker.log", folder=folder)
    server.start()
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    else:
        server.stop()
        raise ArmError(f"{program} does not come up:\n{server.log_tail()}")
    return server, f"{'nats' if kind == 'nats' else 'redis'}://127.0.0.1:{port}"
