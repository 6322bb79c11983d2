"""FastLane: one HTTP/1.1 connection, with a short way for an inference request in one piece.

A request to predict that came whole, as nearly all do, goes to the application without the ASGI
messages in between. Everything else goes uvicorn's way. Evidence: docs/decisions/0010.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from penstock.server.connection import Connection, Refuser
from penstock.server.exchange import Headers, Reply


class InferenceApp(Refuser, Protocol):
    """What this connection needs of the application, next to ASGI."""

    async def infer_whole(self, path: str, headers: Headers, body: bytes) -> Reply | None:
        """Answer an inference request whose body is all there."""
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

    def data_received(self, data: bytes) -> None:
        """Take in what came. A request that has not come whole goes the ordinary way."""
        super().data_received(data)
        if self._held is not None:
            parts, self._held = self._held, None
            if not self._is_refused:
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
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        cycle = self.cycle = self._running = _Cycle(keep_alive=self.parser.should_keep_alive())
        task = self.loop.create_task(self._answer(cycle, self.url, self.headers, body))
        cycle.task = task
        self.tasks.add(task)

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
        )

    def _go_ordinary_way(self) -> None:
        """Hand a request whose head is there to uvicorn, and through ASGI to the application."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers
        super().on_head()

    async def _answer(
        self, cycle: _Cycle, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        reply: Reply | None = None
        try:
            reply = await self.app.infer_whole(url.decode("ascii"), dict(headers), body)
            if self.flow.write_paused and not cycle.disconnected:
                await self.flow.drain()
        finally:
            self.tasks.discard(cycle.task)
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
