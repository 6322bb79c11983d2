"""FastLane: one HTTP/1.1 connection, with a short way for an inference request.

A request to predict whose length is known goes to the application without the ASGI messages in
between: at once where it came whole, else when the rest of it is there. Everything else goes
uvicorn's way. Evidence: docs/decisions/0010.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

from penstock.core.eager import start
from penstock.server.body_receiver import BodyReceiver
from penstock.server.client_watch import late_body
from penstock.server.connection import Connection, Refuser
from penstock.server.exchange import Headers, Reply
from penstock.server.host_header import host_fault

_REQUEST_TIMEOUT = 408
_MAX_AT_ONCE_BYTES = 64 * 1024 * 1024
"""The largest body that gets its memory, if not its pages, before it has come."""


class InferenceApp(Refuser, Protocol):
    """What this connection needs of the application, next to ASGI."""

    async def infer_whole(
        self, path: str, headers: Headers, body: bytes | memoryview, client: str
    ) -> Reply | None:
        """Answer an inference request whose body is all there, from a client's address."""
        ...


class _Cycle:
    """A request on the short way, as uvicorn wants to see the one under way."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete", "task")

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = self
        self.task: asyncio.Task[None] | None = None

    def set(self) -> None:
        """Uvicorn's word that the client is gone: nobody waits for the answer."""
        if self.task is not None and not self.response_complete:
            self.task.cancel()


class FastLane(Connection):
    """A connection of ``HttpServer``. Its application is an ``InferenceApp`` and ASGI."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: list[bytes] | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; the rest of a body is not waited for."""
        if self._body_timer is not None:
            self._body_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came. A request that has not come whole goes the ordinary way."""
        super().data_received(data)
        if self._held is not None:
            parts, self._held = self._held, None
            if not self._is_refused and not self._receive_rest(parts):
                self._go_ordinary_way()
                for part in parts:
                    super().on_body(part)

    def on_message_begin(self) -> None:
        """A head begins. What ASGI wants to know is put together where ASGI is taken."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_head(self) -> None:
        """Choose the way."""
        if self._is_short():
            self._held = []
        else:
            self._go_ordinary_way()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_end(self) -> None:
        """A request is all there."""
        if self._held is None:
            super().on_end()
            return
        parts, self._held = self._held, None
        self._start(self._cycle(), parts[0] if len(parts) == 1 else b"".join(parts))

    def _cycle(self) -> _Cycle:
        cycle = self.cycle = self._running = _Cycle(keep_alive=self.parser.should_keep_alive())
        return cycle

    def _start(self, cycle: _Cycle, body: bytes | memoryview) -> None:
        task = start(self._answer(cycle, self.url, self.headers, body), self.loop)
        if task is not None:
            cycle.task = task
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _receive_rest(self, parts: list[bytes]) -> bool:
        """Take in the rest of a body past the parser, which begins anew after it.

        Returns:
            whether that can be: its length is known, it fits, and it is not packed.
        """
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or b"content-encoding" in headers:
            return False
        num_bytes, limits = int(length), self.app.limits
        if num_bytes > min(limits.max_body_bytes, _MAX_AT_ONCE_BYTES):
            return False
        try:
            receiver = BodyReceiver(self, parts, num_bytes, self._received_rest)
        except MemoryError:
            return False
        self._cycle()
        self.transport.set_protocol(receiver)
        self._body_timer = self.loop.call_later(limits.body_timeout_s, self._too_slow)
        return True

    def _received_rest(self, body: memoryview) -> None:
        self._take_back()
        self._start(self.cycle, body)

    def _take_back(self) -> None:
        """What comes now is a request again."""
        if self._body_timer is not None:
            self._body_timer.cancel()
        self.transport.set_protocol(self)
        self.parser = httptools.HttpRequestParser(self)
        self._in_head = True

    def _too_slow(self) -> None:
        self._take_back()
        self.refuse(late_body(self.app.limits.body_timeout_s), _REQUEST_TIMEOUT)

    def _is_short(self) -> bool:
        """Whether the request may go the short way, should it come whole."""
        url = self.url
        return (
            url.startswith(b"/v2/models/")
            and url.endswith(b"/infer")
            and b"%" not in url
            and b"?" not in url
            and b"#" not in url
            and not self.expect_100_continue
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and host_fault(self.headers, "1.1") is None
        )

    def _go_ordinary_way(self) -> None:
        """Hand a request whose head is there to uvicorn, and through ASGI to the application."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers
        super().on_head()

    async def _answer(
        self,
        cycle: _Cycle,
        url: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes | memoryview,
    ) -> None:
        reply: Reply | None = None
        try:
            path = url.decode("ascii")
            reply = await self.app.infer_whole(path, dict(headers), body, self._address)
            if self.flow.write_paused and not cycle.disconnected:
                await self.flow.drain()
        finally:
            if reply is None:  # nobody waits for an answer, or there can be none
                self.transport.close()
        if reply is None or self.transport.is_closing():
            return
        keep_alive = cycle.keep_alive and not reply.close
        self.transport.write(self.wire(reply, keep_alive=keep_alive))
        cycle.response_complete = True
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()
