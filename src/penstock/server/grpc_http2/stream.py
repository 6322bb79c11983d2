"""Stream: one call of a client, from its first header to its last trailer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.grpc_http2.messages import MessageFormat, MessageQueue, told_length

if TYPE_CHECKING:
    from penstock.server.grpc_http2.library import Headers

_WHOLE_BELOW_BYTES = 8 * 1024
"""Clients fill frames, of 16 KiB or more, before they begin another."""
_ROOM_AT_ONCE_BYTES = 16 * 1024 * 1024
"""A client that announces more gets room for more as it sends it. Room that nothing came for is no
memory yet."""


class Stream:
    """One call; the ``Call`` its method sees.

    Attributes:
        id: HTTP/2's number of it.
        began_s: when it began, on the event loop's clock.
        fields: the header fields that are looked at.
        client: the address of the client; "" where it has none.
        header_bytes: what all of them take.
        has_head: whether the header fields are complete.
        has_ended: whether the client has sent everything.
        form: how the client writes messages.
        body: what came of the message of a unary call.
        queue: the messages of any other call.
        deadline_s: the client's deadline on the event loop's clock; None: it has none.
        held_bytes: received, and not read by its method yet, or held until it is answered.
        uncredited_bytes: received, and the client not told yet that it may send more.
        task: the method at work.
        is_over: whether nobody waits for the answer any more.
        is_answered: whether the answer has begun.
        outgoing: what goes out, messages with their prefixes.
        num_sent_bytes: how much of it libnghttp2 has taken.
        trailers: what ends the answer; None: it goes on.
        stuck_bytes: ``held_bytes`` of a message that is coming in, ``num_sent_bytes`` of an answer
            that goes out, when it was last looked at; -1: not yet.
        stuck_since_s: when it last moved.
    """

    __slots__ = (
        "_loop",
        "_room",
        "_writable",
        "began_s",
        "body",
        "client",
        "deadline_s",
        "fields",
        "form",
        "has_ended",
        "has_head",
        "header_bytes",
        "held_bytes",
        "id",
        "is_answered",
        "is_over",
        "num_sent_bytes",
        "outgoing",
        "queue",
        "stuck_bytes",
        "stuck_since_s",
        "task",
        "trailers",
        "uncredited_bytes",
    )

    def __init__(self, stream_id: int, loop: asyncio.AbstractEventLoop) -> None:
        self.id = stream_id
        self._loop = loop
        self.began_s = loop.time()
        self.fields: dict[bytes, bytes] = {}
        self.client = ""
        self.header_bytes = 0
        self.has_head = False
        self.has_ended = False
        self.form: MessageFormat | None = None
        self.body: Buffer = b""
        self._room = memoryview(b"")
        self.queue: MessageQueue | None = None
        self.deadline_s: float | None = None
        self.held_bytes = 0
        self.uncredited_bytes = 0
        self.task: asyncio.Task[None] | None = None
        self.is_over = False
        self.is_answered = False
        self.outgoing: bytes = b""
        self.num_sent_bytes = 0
        self.trailers: Headers | None = None
        self.stuck_bytes = -1
        self.stuck_since_s = 0.0
        self._writable: asyncio.Event | None = None

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline."""
        return None if self.deadline_s is None else self.deadline_s - self._loop.time()

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The metadata, of it what is looked at."""
        return self.fields

    def metadata(self, name: str) -> str:
        """A text entry of the metadata, of those that are looked at."""
        return self.fields.get(name.encode(), b"").decode("latin-1")

    def take(self, data: memoryview) -> None:
        """Keep what came of the call's messages.

        This is the one copy of a large tensor between the socket and the model: the message is
        put together here, and the tensor is a view of it (``grpc_wire.read_infer``).
        """
        if self.queue is not None:
            self.queue.feed(bytes(data))
        elif not self.body and len(data) < _WHOLE_BELOW_BYTES:  # most likely all of it
            self.body = bytes(data)
        else:
            self._append(data)

    def drop_body(self) -> Buffer:
        """Hold what came of a unary call's message no longer; what that was."""
        body, self.body, self._room = self.body, b"", memoryview(b"")
        return body

    def _append(self, data: memoryview) -> None:
        start = len(self.body)
        end = start + len(data)
        if end > len(self._room):
            self._make_room(end, data)
        self._room[start:end] = data
        self.body = self._room[:end]

    def _make_room(self, end: int, data: memoryview) -> None:
        """Room for the whole message, as its first bytes tell, so that it never has to move."""
        told = told_length(self.body or data)
        size = max(end, min(told, max(_ROOM_AT_ONCE_BYTES, 2 * len(self._room))))
        room: memoryview = np.empty(size, np.uint8).data
        room[: len(self.body)] = self.body
        self._room = room

    def is_stuck(self, num_bytes: int, now_s: float, timeout_s: float) -> bool:
        """Whether ``num_bytes`` has stood still for longer than a timeout, as far as was looked."""
        if num_bytes != self.stuck_bytes:
            self.stuck_bytes, self.stuck_since_s = num_bytes, now_s
        return now_s - self.stuck_since_s > timeout_s

    def unsent_bytes(self) -> int:
        """What of the answer libnghttp2 has not taken yet."""
        return len(self.outgoing) - self.num_sent_bytes

    def push(self, data: bytes) -> None:
        """Let ``data`` go out behind what is going out."""
        self.outgoing = self.outgoing[self.num_sent_bytes :] + data
        self.num_sent_bytes = 0

    def moved(self) -> None:
        """Some of the answer was taken: who waits for that may go on."""
        if self._writable is not None:
            self._writable.set()

    async def wait_moved(self) -> None:
        """Wait until some of the answer is taken."""
        if self._writable is None:
            self._writable = asyncio.Event()
        self._writable.clear()
        await self._writable.wait()
