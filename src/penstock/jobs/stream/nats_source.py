"""NatsSource: a stream of NATS JetStream, read by a durable pull consumer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from nats.js import api
from nats.js import errors as js_errors

from penstock.core.errors import StreamError
from penstock.jobs.stream.nats_link import NatsLink
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.source import Lag, OnRevoked
from penstock.jobs.stream.spec_brokers import NatsInput

_log = logging.getLogger(__name__)

KEY_HEADER: Final = "Penstock-Key"
"""The header that holds a record's key, percent-encoded: NATS has none."""

_ACK: Final = b"+ACK"
_NAK: Final = b"-NAK"
_IN_PROGRESS: Final = b"+WPI"
_EXPIRED: Final = "408"
_GONE: Final = "503"
_EXPIRES_S: Final = 30.0
_ANSWER_S: Final = 5.0


class NatsSource:
    """Asks for records ahead, a request at a time, and keeps them until they are polled.

    What is under way is kept alive by ``poll``, three times within ``ack_wait_s``. All members of
    a group share one consumer; there are no partitions, so with several members order holds for
    each of them only.

    Args:
        spec: what to read.

    Raises:
        ConfigError: the URL is wrong.

    Concurrency: on one event loop.
    """

    def __init__(self, spec: NatsInput) -> None:
        self._spec = spec
        self._link = NatsLink(spec.url, spec.stream, self._on_trouble)
        self._connecting = asyncio.Lock()
        self._stream: Any = None
        self._arriving: Any = None
        self._ready: deque[Record] = deque()
        self._under_way: dict[str, Record] = {}
        self._arrived = asyncio.Event()
        self._asked = 0
        self._asked_until = 0.0
        self._alive_until = 0.0
        self._inbox = ""
        self._is_gone = False

    async def open(self, on_revoked: OnRevoked) -> None:
        """Connect, and make the durable consumer if it is not there.

        Raises:
            StreamError: the server cannot be reached, or refuses; or the stream is not there.
        """
        await self._ensure()

    async def _ensure(self) -> None:
        async with self._connecting:
            if not self._link.is_up:
                await self._connect()

    def _on_trouble(self, error: Exception) -> None:
        self._arrived.set()

    async def _connect(self) -> None:
        spec, link = self._spec, self._link
        self._stream = stream = await link.connect()
        if spec.create:
            await link.ensure_stream(stream, spec.stream, spec.subject or spec.stream)
        policy = api.DeliverPolicy.ALL if spec.start == "earliest" else api.DeliverPolicy.NEW
        config = api.ConsumerConfig(
            durable_name=spec.group,
            deliver_policy=policy,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=spec.ack_wait_s,
            max_ack_pending=spec.max_under_way,
            filter_subject=spec.subject or None,
        )
        with link.translated():
            await stream.add_consumer(spec.stream, config)
            self._inbox = link.client.new_inbox()
            self._arriving = await link.client.subscribe(self._inbox, cb=self._on_message)
        self._asked = 0

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """The next records; see ``StreamSource.poll``.

        Raises:
            StreamError: the server is away, or refuses.
        """
        self._link.raise_heard()
        await self._ensure()
        if self._is_gone:
            self._is_gone = False
            await self._link.close()
            error = js_errors.NotFoundError(code=404, description="the consumer is gone")
            raise self._link.fault(error)
        await self._keep_alive()
        if not max_records:
            await asyncio.sleep(min(timeout_s, self._spec.ack_wait_s / 3))
            return ()
        await self._ask_for_more()
        if not self._ready:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
            except TimeoutError:
                return ()
        return self._take(max_records)

    def _take(self, max_records: int) -> list[Record]:
        ready = self._ready
        taken = [ready.popleft() for _ in range(min(max_records, len(ready)))]
        for record in taken:
            self._under_way[record.handle] = record
        return taken

    async def _ask_for_more(self) -> None:
        """Ask for as many as there is room for; nothing while an earlier request goes on."""
        now = time.monotonic()
        room = self._spec.prefetch - len(self._ready)
        if room <= 0 or (self._asked > 0 and now < self._asked_until):
            return
        self._asked, self._asked_until = room, now + _EXPIRES_S + 1
        request = {"batch": room, "expires": int(_EXPIRES_S * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._spec.stream}.{self._spec.group}"
        with self._link.translated():
            await self._link.client.publish(subject, json.dumps(request).encode(), self._inbox)

    async def _on_message(self, message: Any) -> None:
        if not message.reply:
            self._asked = 0
            status = (message.headers or {}).get("Status")
            if status == _GONE or "Deleted" in (message.headers or {}).get("Description", ""):
                self._is_gone = True
                self._arrived.set()
            elif status == _EXPIRED:
                await self._ask_again()
            return
        self._asked -= 1
        self._ready.append(_record(message, self._spec.stream))
        if not self._arrived.is_set():
            self._arrived.set()
        if self._asked == 0:
            await self._ask_again()

    async def _ask_again(self) -> None:
        if self._link.is_up:
            try:
                await self._ask_for_more()
            except StreamError as err:
                _log.info("%s", err)  # poll finds it down

    async def _keep_alive(self) -> None:
        now = time.monotonic()
        if now < self._alive_until:
            return
        self._alive_until = now + self._spec.ack_wait_s / 3
        held = [*self._under_way, *(record.handle for record in self._ready)]
        with self._link.translated():
            await self._answer(held, _IN_PROGRESS)

    async def settle(self, records: Sequence[Record]) -> None:
        """These are done with: acknowledged, and the server has answered for the last of them.

        Raises:
            StreamError: it did not; they may come again.
        """
        if not records:
            return
        for record in records:
            self._under_way.pop(record.handle, None)
        await self._ensure()
        *others, last = records
        with self._link.translated():
            client = self._client()
            await self._answer((record.handle for record in others), _ACK)
            await client.request(last.handle, _ACK, timeout=_ANSWER_S)

    async def release(self, records: Sequence[Record]) -> None:
        """Have the server deliver them again; where it is away it does by itself in time."""
        for record in records:
            self._under_way.pop(record.handle, None)
        try:
            with self._link.translated():
                await self._answer((record.handle for record in records), _NAK)
        except StreamError as err:
            _log.info("%s: %d records come again later", err, len(records))

    async def _answer(self, handles: Iterable[str], word: bytes) -> None:
        client = self._client()
        for handle in handles:
            await client.publish(handle, word)

    def _client(self) -> Any:
        if self._link.client is None:
            raise ConnectionError("there is no connection")
        return self._link.client

    async def lag(self) -> Lag:
        """How many wait in the stream, or are under way with anybody of the group.

        Raises:
            StreamError: the server is away, or refuses.
        """
        await self._ensure()
        with self._link.translated():
            info = await self._stream.consumer_info(self._spec.stream, self._spec.group)
        held = [*self._under_way.values(), *self._ready]
        oldest = min((record.time_ms for record in held), default=None)
        return Lag((info.num_pending or 0) + (info.num_ack_pending or 0), oldest)

    async def _stop_asking(self) -> None:
        """End the open request, or what is given back comes here again.

        The server notices only when it next looks at its requests, which it does to tell of the
        consumer. Where it notices while it gives something back, 2.9 counts wrong.
        """
        with self._link.translated():
            await self._arriving.unsubscribe()
            await self._stream.consumer_info(self._spec.stream, self._spec.group)

    async def close(self) -> None:
        """Give back what was not polled, and leave."""
        if self._link.is_up and self._arriving is not None:
            try:
                await self._stop_asking()
            except StreamError as err:
                _log.info("%s", err)
            await self.release([*self._ready, *self._under_way.values()])
        self._ready.clear()
        self._under_way.clear()
        await self._link.close()


def _record(message: Any, stream: str) -> Record:
    """A message as a record; its reply is ``$JS.ACK...delivered.position.n.time_ns.pending``."""
    fields = message.reply.split(".")
    delivered, position, _, time_ns, _ = fields[4:9] if len(fields) < 12 else fields[6:11]
    key = None
    headers: Sequence[tuple[str, bytes]] = ()
    if message.headers:
        plain = dict(message.headers)
        quoted = plain.pop(KEY_HEADER, None)
        key = None if quoted is None else unquote_to_bytes(quoted)
        headers = [(name, value.encode()) for name, value in plain.items()]
    return Record(
        stream=stream,
        partition="",
        position=position,
        value=message.data,
        key=key,
        headers=headers,
        time_ms=int(time_ns) // 1_000_000,
        deliveries=int(delivered) - 1,
        handle=message.reply,
    )
