"""ClientWatch: a client that goes away, or never gets its body sent, ends its own request."""

from __future__ import annotations

import asyncio

from penstock.core.errors import Cancelled, DeadlineExceeded, PenstockError
from penstock.server.exchange import Receive

_LOOK_AFTER_S = 0.02


def late_body(timeout_s: float) -> DeadlineExceeded:
    """The error of a request whose body does not come."""
    return DeadlineExceeded(f"the body did not come within {timeout_s:g} seconds")


class ClientWatch:
    """Cancels the current task when its client disconnects or sends its body too slowly.

    Most requests are over before it is worth looking: a quick answer pays for one timer, and
    only what takes longer than 20 ms for a task.
    """

    __slots__ = (
        "_body_timeout_s",
        "_is_complete",
        "_loop",
        "_receive",
        "_task",
        "_timer",
        "_watcher",
        "_why",
    )

    def __init__(
        self, receive: Receive, loop: asyncio.AbstractEventLoop, body_timeout_s: float
    ) -> None:
        self._receive = receive
        self._loop = loop
        self._body_timeout_s = body_timeout_s
        self._task = asyncio.current_task(loop)
        self._is_complete = False
        self._why: PenstockError | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = loop.call_later(_LOOK_AFTER_S, self._look)

    def body_complete(self) -> None:
        """The body is there: from now on only the connection is watched."""
        self._is_complete = True
        if self._timer is None or self._timer.when() > self._loop.time() + _LOOK_AFTER_S:
            self._stop_timer()
            self._look()

    def reason(self) -> PenstockError | None:
        """Why this watch cancelled the task; None: it did not."""
        if self._why is not None and self._task is not None:
            self._task.uncancel()
        return self._why

    def close(self) -> None:
        """Stop watching."""
        self._stop_timer()
        if self._watcher is not None:
            self._watcher.cancel()

    def _look(self) -> None:
        if self._is_complete:
            self._watcher = self._loop.create_task(self._watch())
        else:
            self._timer = self._loop.call_later(self._body_timeout_s, self._too_slow)

    def _too_slow(self) -> None:
        self._cancel(late_body(self._body_timeout_s))

    async def _watch(self) -> None:
        message = await self._receive()
        while message["type"] == "http.request":  # what is left of a body nobody waits for
            message = await self._receive()
        if message["type"] == "http.disconnect":
            self._cancel(Cancelled("the client went away"))

    def _cancel(self, why: PenstockError) -> None:
        self._why = why
        if self._task is not None:
            self._task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
