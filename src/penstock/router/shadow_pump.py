"""ShadowPump: finds the moments in which work for a shadow delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.router.shadow_pace import Pace

QUIET_TURN_NS = 50_000
"""A turn of the event loop in which something was done takes longer than this."""

GATHER_S = 0.02
"""How long work may gather before it is begun, in seconds: pieces in a row find their code and data
in the processor's caches, and the loop is asked for a quiet moment once for all of them."""


class ShadowPump:
    """Calls for work, a piece at a time, as long as there is some.

    A moment is quiet when no request is under way and the event loop has just looked for what
    came, and found nothing. Asking that of each moment costs two turns of an idle loop; while
    it is not idle, it is asked at the pace's intervals.

    Args:
        work: does one piece; whether there is more to do at once. To be woken for later work.
        in_flight: how many requests of clients are under way, in all models.
        pace: how much of the time may be used.
        loop: the event loop.
        now_ns: reads the monotonic clock.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        work: Callable[[], bool],
        in_flight: Callable[[], int],
        pace: Pace,
        loop: asyncio.AbstractEventLoop,
        now_ns: Callable[[], int],
    ) -> None:
        self._work = work
        self._in_flight = in_flight
        self._pace = pace
        self._loop = loop
        self._now_ns = now_ns
        self._next: asyncio.Handle | None = None

    def wake(self) -> None:
        """There is work."""
        if self._next is None:
            self._next = self._loop.call_later(GATHER_S, self._look)

    def stop(self) -> None:
        """There is none any more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        """Begin to watch one turn of the loop."""
        self._next = self._loop.call_later(0, self._turned, self._now_ns())

    def _turned(self, since_ns: int) -> None:
        """A turn is over: what had come was done before this."""
        now_ns = self._now_ns()
        is_quiet = now_ns - since_ns <= QUIET_TURN_NS and not self._in_flight()
        wait_ns = self._pace.wait_ns(now_ns, is_quiet=is_quiet)
        if wait_ns:
            self._next = self._loop.call_later(wait_ns / 1e9, self._look)
            return
        self._next = None
        if self._work():
            self._next = self._loop.call_later(0, self._turned, self._now_ns())
