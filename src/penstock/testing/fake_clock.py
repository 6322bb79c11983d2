"""FakeClock: time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """A Clock, and a ``sleep``, stepped by hand.

    Args:
        monotonic_ns: where the monotonic clock starts.
        wall_ns: where the wall clock starts.

    Concurrency: one event loop's thread.
    """

    def __init__(
        self, monotonic_ns: int = 1_000_000_000, wall_ns: int = 1_700_000_000_000_000_000
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._arrived = asyncio.Event()

    def monotonic_ns(self) -> int:
        """The instant the test has reached, in nanoseconds."""
        return self._monotonic_ns

    def wall_ns(self) -> int:
        """The wall time the test has reached, in nanoseconds since 1970."""
        return self._wall_ns

    @property
    def sleeping_s(self) -> list[float]:
        """How many seconds each sleeper still has to go, soonest first."""
        waiting = sorted(at_ns for at_ns, _, future in self._sleepers if not future.done())
        return [(at_ns - self._monotonic_ns) / 1e9 for at_ns in waiting]

    def advance(self, seconds: float) -> None:
        """Move both clocks and wake whoever slept until then."""
        self._monotonic_ns += round(seconds * 1e9)
        self._wall_ns += round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic_ns:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    async def sleep(self, delay_s: float) -> None:
        """Sleep until the test has advanced the clock by ``delay_s`` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at_ns = self._monotonic_ns + round(delay_s * 1e9)
        heapq.heappush(self._sleepers, (at_ns, next(self._order), future))
        self._arrived.set()
        await future

    async def wait_for_sleepers(self, count: int = 1) -> None:
        """Wait until that many are asleep, so that a step reaches them."""
        while len(self.sleeping_s) < count:
            self._arrived.clear()
            await self._arrived.wait()
