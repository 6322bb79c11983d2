"""Deadlines: one timer for all of a model's requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from penstock.scheduler.request_queue import Waiting

_AT_LEAST_NS = 1_000_000
"""Between two looks: many that expire one after another are not looked through for each."""


class Deadlines:
    """Sees to it that each request has its outcome when its time is over.

    One timer stands at the earliest deadline there was. Most requests are answered long before
    theirs, and with one timeout for all no later one is earlier: a request costs a comparison.

    Args:
        loop: whose timer it is.
        now_ns: its time.
        waiting: everything that has no outcome yet, and perhaps some that has.
        expire: gives one its outcome.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now_ns: Callable[[], int],
        waiting: Callable[[], Iterable[Waiting]],
        expire: Callable[[Waiting], None],
    ) -> None:
        self._loop = loop
        self._now_ns = now_ns
        self._waiting = waiting
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self._at_ns = 0

    def watch(self, waiting: Waiting) -> None:
        """Expire this one, too; until its outcome it is among what ``waiting`` gives."""
        if self._timer is None or waiting.deadline_ns < self._at_ns:
            self._set(waiting.deadline_ns)

    def close(self) -> None:
        """Expire nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, at_ns: int) -> None:
        self.close()
        self._at_ns = at_ns
        left_ns = max(0, at_ns - self._now_ns())
        self._timer = self._loop.call_later(left_ns / 1e9, self._look)

    def _look(self) -> None:
        self._timer = None
        now_ns = self._now_ns()
        open_ones = [one for one in self._waiting() if not one.outcome.done()]
        for one in open_ones:
            if one.deadline_ns <= now_ns:
                self._expire(one)
        later = [one.deadline_ns for one in open_ones if one.deadline_ns > now_ns]
        if later:
            self._set(max(min(later), now_ns + _AT_LEAST_NS))
