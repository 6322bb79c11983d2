"""Patience: a time-out that tells a slow store from an event loop that stood still."""

from __future__ import annotations

import asyncio

_LATE_S = 0.005
_MAX_EXTENSIONS = 4


class Patience:
    """Ends an ``asyncio.timeout`` after some seconds in which the event loop was awake.

    A timer that fires late says that something else held the loop: the answer may lie in the
    socket already, and nobody has looked. The time then begins anew, at most four times, so that
    a model that computes on the loop does not make its store look down.

    Args:
        limit: what is ended; entered, without a time of its own.
        timeout_s: the time, in seconds.
    """

    __slots__ = ("_due_s", "_extensions", "_limit", "_loop", "_timeout_s", "_timer")

    def __init__(self, limit: asyncio.Timeout, timeout_s: float) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._extensions = 0
        self._loop = asyncio.get_running_loop()
        self._arm()

    def cancel(self) -> None:
        """Stop counting."""
        self._timer.cancel()

    def _arm(self) -> None:
        self._due_s = self._loop.time() + self._timeout_s
        self._timer = self._loop.call_at(self._due_s, self._fire)

    def _fire(self) -> None:
        now_s = self._loop.time()
        if now_s - self._due_s > _LATE_S and self._extensions < _MAX_EXTENSIONS:
            self._extensions += 1
            self._arm()
        else:
            self._limit.reschedule(now_s)
