"""DisconnectWatch: a client that goes away takes its request with it."""

from __future__ import annotations

import asyncio

from penstock.server.exchange import Receive

_WATCH_AFTER_S = 0.02


class DisconnectWatch:
    """Cancels the current task when the client disconnects.

    Most requests are over before it is worth looking: the watching itself starts only after
    20 ms, so that a quick answer pays for one timer and no task.

    Attributes:
        disconnected: whether the client is gone.
    """

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self.disconnected = False
        self._receive = receive
        self._loop = loop
        self._request_task = asyncio.current_task(loop)
        self._watch_task: asyncio.Task[None] | None = None
        self._timer = loop.call_later(_WATCH_AFTER_S, self._start)

    def close(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._watch_task is not None:
            self._watch_task.cancel()

    def _start(self) -> None:
        self._watch_task = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._request_task is not None:
            self.disconnected = True
            self._request_task.cancel()
