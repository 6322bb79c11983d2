"""RabbitSource: a queue of RabbitMQ."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from penstock.core.errors import StreamError
from penstock.jobs.stream.rabbitmq_link import RabbitLink
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.source import Lag, OnRevoked
from penstock.jobs.stream.spec_brokers import RabbitInput

_log = logging.getLogger(__name__)

KEY_HEADER: Final = "penstock-key"
"""The header that holds a record's key: AMQP has none."""

_ANSWER_S: Final = 10.0
_OF_THE_BROKER: Final = ("x-death", "x-delivery-count", "x-acquired-count", KEY_HEADER)


class RabbitSource:
    """Has the broker push up to ``prefetch`` records ahead, and keeps them until they are polled.

    A record's position is its message id, as only that is the same at each delivery; where the
    producer gave none it is a new one each time. What was taken over a connection that is lost
    comes again over the next, and what is said of it is let be.

    Args:
        spec: what to read.

    Raises:
        ConfigError: the URL is wrong.

    Concurrency: on one event loop.
    """

    def __init__(self, spec: RabbitInput) -> None:
        self._spec = spec
        self._link = RabbitLink(spec.url, spec.queue, self._on_down)
        self._connecting = asyncio.Lock()
        self._ready: deque[Record] = deque()
        self._open: OrderedDict[int, int] = OrderedDict()
        """Delivery tags that are not answered, in order, with when each was produced."""
        self._arrived = asyncio.Event()
        self._connection = 0

    async def open(self, on_revoked: OnRevoked) -> None:
        """Connect and consume.

        Raises:
            StreamError: the broker cannot be reached, or refuses; or the queue is not there.
        """
        await self._ensure()

    async def _ensure(self) -> None:
        async with self._connecting:
            if self._link.channel is None:
                await self._connect()

    async def _connect(self) -> None:
        spec, link = self._spec, self._link
        self._forget()
        channel = await link.connect(confirms=False)
        arguments: dict[str, Any] = {}
        if spec.dead_letter_exchange:
            arguments["x-dead-letter-exchange"] = spec.dead_letter_exchange
        if spec.delivery_limit and spec.kind == "quorum":
            arguments["x-delivery-limit"] = spec.delivery_limit
        await link.declare(spec.kind, arguments, create=spec.create)
        with link.translated():
            await channel.basic_qos(prefetch_count=spec.prefetch, timeout=_ANSWER_S)
            await channel.basic_consume(spec.queue, self._on_message, timeout=_ANSWER_S)

    def _forget(self) -> None:
        self._connection += 1
        self._ready.clear()
        self._open.clear()

    def _on_down(self) -> None:
        self._forget()
        self._arrived.set()

    async def _on_message(self, message: Any) -> None:
        if message.channel is not self._link.channel:
            return
        record = _record(message, self._spec.queue, self._connection)
        self._open[message.delivery_tag] = record.time_ms
        self._ready.append(record)
        if not self._arrived.is_set():
            self._arrived.set()

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """The next records; see ``StreamSource.poll``.

        Raises:
            StreamError: the broker is away, or refuses.
        """
        await self._ensure()
        if not max_records:
            await asyncio.sleep(timeout_s)
            return ()
        if not self._ready:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
            except TimeoutError:
                return ()
        ready = self._ready
        return [ready.popleft() for _ in range(min(max_records, len(ready)))]

    async def settle(self, records: Sequence[Record]) -> None:
        """These are done with: acknowledged, many at once where none between is under way.

        Raises:
            StreamError: it could not be sent; they may come again.
        """
        tags = sorted(self._answered(records))
        if not tags:
            return
        head = next(iter(self._open), tags[-1] + 1)
        below = [tag for tag in tags if tag < head]
        with self._link.translated():
            channel = self._link.live()
            if below:
                await channel.basic_ack(below[-1], multiple=True, wait=False)
            for tag in tags[len(below) :]:
                await channel.basic_ack(tag, wait=False)

    def _answered(self, records: Sequence[Record]) -> Iterator[int]:
        """The tags that can still be answered, which are no longer open now."""
        for record in records:
            connection, tag = record.handle
            if connection == self._connection and self._open.pop(tag, None) is not None:
                yield tag

    async def release(self, records: Sequence[Record]) -> None:
        """Have the broker deliver them again, to whomever."""
        try:
            with self._link.translated():
                for tag in list(self._answered(records)):
                    await self._link.live().basic_nack(tag, requeue=True, wait=False)
        except StreamError as err:
            _log.info("%s: they come again anyway", err)

    async def lag(self) -> Lag:
        """How many wait in the queue or are under way here.

        Raises:
            StreamError: the broker is away, or refuses.
        """
        await self._ensure()
        waiting = await self._link.declare(self._spec.kind, {}, create=False)
        oldest = min((at for at in itertools.islice(self._open.values(), 1) if at), default=None)
        return Lag(waiting + len(self._open), oldest)

    async def close(self) -> None:
        """Leave; the broker gives what is not settled to others."""
        await self._link.close()
        self._forget()


def _record(message: Any, queue: str, connection: int) -> Record:
    properties = message.header.properties
    table: Mapping[str, Any] = properties.headers or {}
    key = table.get(KEY_HEADER)
    return Record(
        stream=queue,
        partition="",
        position=properties.message_id or str(uuid.uuid4()),
        value=message.body,
        key=None if key is None else _bytes(key),
        headers=[(n, _bytes(v)) for n, v in table.items() if n not in _OF_THE_BROKER],
        time_ms=int(properties.timestamp.timestamp() * 1000) if properties.timestamp else 0,
        deliveries=_deliveries(table, bool(message.delivery.redelivered)),
        handle=(connection, message.delivery_tag),
    )


def _deliveries(table: Mapping[str, Any], is_redelivered: bool) -> int:
    """How often it was delivered before: a quorum queue counts; a classic one says whether.

    The times that it died, and came back from a dead-letter queue, go on top.
    """
    counted = table.get("x-delivery-count")
    before = counted if isinstance(counted, int) else int(is_redelivered)
    deaths = table.get("x-death")
    rows = deaths if isinstance(deaths, list) else []
    return before + sum(int(row.get("count", 1)) for row in rows if isinstance(row, dict))


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode()
