"""FastLane: one HTTP/1.1 connection, with a short way for an inference request in one piece.

Parsing, pipelining, flow control, keep-alive and chunks are uvicorn's. What is added: a request
to predict that came whole, as nearly all do, goes to the application without the ASGI messages
in between; and a head may be neither endless nor late. Evidence: docs/decisions/0010.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from penstock.core.errors import InvalidArgument, PenstockError
from penstock.dialects.open_inference.errors import error_body
from penstock.server.exchange import Headers, Limits, Reply

_HEAD_TOO_LARGE = 431
_BAD_REQUEST = 400
_CLOSE = b"connection: close\r\n\r\n"


class InferenceApp(Protocol):
    """What a connection needs of the application, next to ASGI."""

    limits: Limits

    async def infer_whole(self, path: str, headers: Headers, body: bytes) -> Reply | None:
        """Answer an inference request whose body is all there."""
        ...

    def refuse(self, error: PenstockError) -> None:
        """Count a request that was not even HTTP."""
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


class FastLane(HttpToolsProtocol):
    """A connection of ``HttpServer``. Its application is an ``InferenceApp`` and ASGI."""

    app: Any
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits: Limits = self.app.limits
        self._held: list[bytes] | None = None
        self._in_head = True
        self._head_bytes = 0
        self._since = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; its first request is due."""
        super().connection_made(transport)
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it asked for is cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came. A request that has not come whole goes the ordinary way."""
        if self._in_head:
            if not self._head_bytes:
                self._since = self.loop.time()
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._held is not None:
            parts, self._held = self._held, None
            self._go_ordinary_way()
            for part in parts:
                super().on_body(part)
        elif self._head_bytes > self._limits.max_header_bytes:
            self._refuse(
                _HEAD_TOO_LARGE,
                f"the request's head exceeds {self._limits.max_header_bytes} bytes",
            )

    def on_message_begin(self) -> None:
        """A head begins. What ASGI wants to know is put together where ASGI is taken."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._in_head = False
        self._head_bytes = 0
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

    def on_message_complete(self) -> None:
        """A request is all there; the next bytes are the next one's."""
        self._in_head = True
        if self._held is None:
            super().on_message_complete()
            return
        parts, self._held = self._held, None
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        cycle = self.cycle = _Cycle(keep_alive=self.parser.should_keep_alive())
        task = self.loop.create_task(self._answer(cycle, self.url, self.headers, body))
        cycle.task = task
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """An answer is out: the next pipelined request, or idleness, begins."""
        self._since = self.loop.time()
        if self.pipeline:
            super().on_response_complete()
        elif not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._held = None
        self.app.refuse(InvalidArgument(msg))
        self._refuse(_BAD_REQUEST, msg)

    def _is_short(self) -> bool:
        """Whether the request may go the short way, should it come whole."""
        url = self.url
        return (
            url.endswith(b"/infer")
            and b"%" not in url
            and not self.expect_100_continue
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
        )

    def _go_ordinary_way(self) -> None:
        """Hand a request whose head is there to uvicorn, and through ASGI to the application."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers
        super().on_headers_complete()

    async def _answer(
        self, cycle: _Cycle, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        try:
            reply = await self.app.infer_whole(url.decode("ascii"), dict(headers), body)
            if self.flow.write_paused and not cycle.disconnected:
                await self.flow.drain()
        finally:
            self.tasks.discard(cycle.task)
        if reply is None or self.transport.is_closing():
            self.transport.close()
            return
        lines = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in reply.headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n", reply.body) if cycle.keep_alive else (_CLOSE, reply.body)
        self.transport.write(b"".join(lines))
        cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _look_again(self) -> None:
        """Close a connection that is idle for too long, or takes too long over a head."""
        limits = self._limits
        left_s = limits.header_timeout_s
        if self.cycle is None or self.cycle.response_complete:
            limit_s = limits.header_timeout_s if self._head_bytes else limits.keep_alive_s
            left_s = min(left_s, self._since + limit_s - self.loop.time())
        if left_s <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(left_s, self._look_again)

    def _refuse(self, status: int, why: str) -> None:
        body = error_body(why)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()
