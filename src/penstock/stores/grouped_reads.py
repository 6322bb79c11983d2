"""GroupedReads: lookups that wait while one is under way go out together as the next one.

The same idea as the scheduler's batches: nothing waits for a timer, and a store under load is
asked for more at a time, not more often.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from penstock.core.errors import StoreError, StoreFault

Values = list["bytes | None"]
Fetch = Callable[[Sequence[str]], Awaitable[Values]]

_MAX_KEYS = 1024
_MAX_WAITING = 16_384


class _Waiting:
    """A lookup that waits: for its values, or for its turn to fetch (the outcome is None)."""

    __slots__ = ("keys", "outcome")

    def __init__(self, keys: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        self.keys = keys
        self.outcome: asyncio.Future[Values | None] = loop.create_future()


class GroupedReads:
    """One fetch at a time, for everybody who waits.

    Law: a lookup gets the values of its own keys, in its order; that another one is cancelled
    neither fails nor changes it.

    Args:
        fetch: asks the store; as many values as keys.

    Concurrency: one event loop's thread. No task is made: the longest waiting caller fetches for
    those behind it.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._queue: deque[_Waiting] = deque()
        self._is_fetching = False

    async def get_many(self, keys: Sequence[str]) -> Values:
        """The values of the keys.

        Raises:
            StoreError: the store failed, or too many lookups wait already.
        """
        if self._is_fetching:
            values = await self._wait(keys)
            if values is not None:
                return values
        self._is_fetching = True
        group = self._group(len(keys))
        try:
            if not group:
                return await self._fetch(keys)
            return await self._fetch_for(keys, group)
        finally:
            self._pass_on()

    async def _wait(self, keys: Sequence[str]) -> Values | None:
        """Values another lookup fetched; None: it is this one's turn to fetch."""
        if len(self._queue) >= _MAX_WAITING:
            raise StoreError("too many lookups wait for the store", fault=StoreFault.BUSY)
        waiting = _Waiting(keys, asyncio.get_running_loop())
        self._queue.append(waiting)
        try:
            return await waiting.outcome
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            if _has_turn(waiting):
                self._pass_on()
            raise

    async def _fetch_for(self, keys: Sequence[str], group: list[_Waiting]) -> Values:
        """Fetch for this lookup and a group of others."""
        wanted = [*keys, *(key for waiting in group for key in waiting.keys)]
        try:
            values = await self._fetch(wanted)
        except StoreError as err:
            for waiting in group:
                if not waiting.outcome.done():
                    error = StoreError(err.message, fault=err.fault)
                    waiting.outcome.set_exception(error)
            raise
        except BaseException:
            # this lookup was taken back: those it fetched for go first in the next one
            self._queue.extendleft(w for w in reversed(group) if not w.outcome.done())
            raise
        start = len(keys)
        for waiting in group:
            stop = start + len(waiting.keys)
            if not waiting.outcome.done():
                waiting.outcome.set_result(values[start:stop])
            start = stop
        return values[: len(keys)]

    def _group(self, count: int) -> list[_Waiting]:
        """Who comes along, with ``count`` keys taken already."""
        group = []
        while self._queue and count + len(self._queue[0].keys) <= _MAX_KEYS:
            waiting = self._queue.popleft()
            if not waiting.outcome.done():
                group.append(waiting)
                count += len(waiting.keys)
        return group

    def _pass_on(self) -> None:
        """Give the turn to the next that waits."""
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.outcome.done():
                waiting.outcome.set_result(None)
                return
        self._is_fetching = False


def _has_turn(waiting: _Waiting) -> bool:
    outcome = waiting.outcome
    if not outcome.done() or outcome.cancelled() or outcome.exception() is not None:
        return False
    return outcome.result() is None
