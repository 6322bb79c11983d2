"""Connection: uvicorn's HTTP/1.1 connection, and what uvicorn leaves to a proxy in front of it.

A head, its trailers and the wait for either are bounded; so is the wait for a client that does
not read. An upgrade is declined as RFC 9110, section 7.8 allows: the request is answered as if
it had not asked. What is refused here is read to its end, so that the refusal is not lost.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from penstock.core.errors import InvalidArgument, PenstockError
from penstock.server.exchange import Limits, Reply

_BAD_REQUEST = 400
_HEAD_TOO_LARGE = 431
_LINGER_S = 1.0
_END = b"\r\n"
_CLOSE = b"connection: close\r\n\r\n"
_OF_AN_UPGRADE = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Refuser(Protocol):
    """What a connection needs of the application, next to ASGI."""

    limits: Limits

    def refuse(self, error: PenstockError, status: int) -> Reply:
        """Count a request that was not even HTTP, and answer it."""
        ...


class Connection(HttpToolsProtocol):
    """One client. Its application is ASGI and a ``Refuser``."""

    app: Any
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits: Limits = self.app.limits
        self._in_head = True
        self._head_bytes = 0
        self._is_refused = False
        self._is_upgrade = False
        self._since = self.loop.time()
        self._unread_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; its first request is due."""
        super().connection_made(transport)
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it asked for is cancelled, what it had queued is dropped."""
        if self._timer is not None:
            self._timer.cancel()
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._is_refused:
            return
        if self._in_head:
            if not self._head_bytes:
                self._since = self.loop.time()
            self._head_bytes += len(data)
        self._feed(data)
        if self._head_bytes > self._limits.max_header_bytes and not self._is_refused:
            limit = self._limits.max_header_bytes
            self.refuse(
                InvalidArgument(f"the request's head exceeds {limit} bytes"), _HEAD_TOO_LARGE
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. What follows a chunked body is no header: RFC 9110, section 6.5.1."""
        if self._in_head:
            super().on_header(name, value)
        else:
            self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """The head is there; a request that asks for another protocol is taken up again later."""
        self._in_head = False
        self._head_bytes = 0
        self._is_upgrade = self.parser.should_upgrade()
        if not self._is_upgrade:
            self.on_head()

    def on_head(self) -> None:
        """Begin to answer a request whose head is there."""
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is all there; the next bytes are the next one's."""
        self._in_head = True
        self._head_bytes = 0
        if not self._is_upgrade:
            self.on_end()

    def on_end(self) -> None:
        """A request is all there."""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is out: the next pipelined request, or idleness, begins."""
        self._since = self.loop.time()
        if self.pipeline:
            super().on_response_complete()
        elif not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self.refuse(InvalidArgument(msg), _BAD_REQUEST)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _feed(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as pause:
                rest = rest[pause.args[0] :]
                if self.parser.get_method() == b"CONNECT":
                    why = "this server is no proxy: CONNECT is not served"
                    self.refuse(InvalidArgument(why), _BAD_REQUEST)
                    return
                self._decline_upgrade()
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    def _decline_upgrade(self) -> None:
        """Begin the request anew, its head as it would be without the wish for another protocol."""
        lines = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] not in _OF_AN_UPGRADE]
        wishes = b",".join(value for name, value in self.headers if name == b"connection")
        if b"close" in [wish.strip().lower() for wish in wishes.split(b",")]:
            lines.append(b"connection: close")
        self._in_head = True
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(_END.join([*lines, b"", b""]))

    def _look_again(self) -> None:
        """End a connection that is idle for too long, late with a head, or does not read."""
        now, limits = self.loop.time(), self._limits
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes < self._unread_bytes:
            self._since = now
        self._unread_bytes = unread_bytes
        left_s = limits.header_timeout_s
        if unread_bytes:
            left_s = min(left_s, self._since + limits.write_timeout_s - now)
        elif self.cycle is None or self.cycle.response_complete:
            limit_s = limits.header_timeout_s if self._head_bytes else limits.keep_alive_s
            left_s = min(left_s, self._since + limit_s - now)
        if left_s > 0:
            self._timer = self.loop.call_later(left_s, self._look_again)
        elif unread_bytes:
            self.transport.abort()
        else:
            self.transport.close()

    def refuse(self, error: PenstockError, status: int) -> None:
        """Answer, take no more requests, and let the client read the answer before it is closed."""
        self._is_refused = True
        reply = self.app.refuse(error, status)
        self.transport.write(self.wire(reply, keep_alive=False))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)

    def wire(self, reply: Reply, *, keep_alive: bool) -> bytes:
        """An answer as it goes over the wire."""
        lines = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, _END)
        for name, value in reply.headers:
            lines += (name, b": ", value, _END)
        lines += (_END if keep_alive else _CLOSE, reply.body)
        return b"".join(lines)
