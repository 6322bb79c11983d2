"""The pump: work is called for in quiet moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.router.shadow_pace import BUSY_RATIO, Pace
from penstock.router.shadow_pump import GATHER_S, QUIET_TURN_NS, ShadowPump
from tests.unit.scheduler.playing import JumpingLoop, clock, play

MS = 1_000_000


class Scene:
    """A pump with work that is counted, on a clock that others can hold up."""

    def __init__(self, pieces: int = 1) -> None:
        self.loop: JumpingLoop = clock()
        self.lost_ns = 0
        self.in_flight = self.ended_ns = 0
        self.left = pieces
        self.pace = Pace(self.now_ns())
        self.pump = ShadowPump(
            self._work, lambda: self.in_flight, self.pace, self.loop, self.now_ns
        )

    def now_ns(self) -> int:
        return self.loop.monotonic_ns() + self.lost_ns

    def _work(self) -> bool:
        self.left -= 1
        self.ended_ns = self.now_ns()
        return self.left > 0

    def spend_busy_share(self, seconds: float) -> None:
        """For so long work begins in quiet moments only."""
        self.pace.worked(self.now_ns(), round(seconds * 1e9 * BUSY_RATIO))

    def keep_busy(self, took_ns: int) -> Callable[[], None]:
        """Something takes so long in each turn of the loop, until it is told to stop."""
        handle: asyncio.Handle

        def turn() -> None:
            nonlocal handle
            self.lost_ns += took_ns
            handle = self.loop.call_soon(turn)

        turn()
        return lambda: handle.cancel()


def test_a_quiet_moment_is_used_for_all_that_gathered() -> None:
    async def scene() -> None:
        it = Scene(pieces=3)
        it.spend_busy_share(10)
        await asyncio.sleep(5)
        began_ns = it.now_ns()
        it.pump.wake()
        it.pump.wake()
        await asyncio.sleep(1)
        assert it.left == 0
        assert GATHER_S <= (it.ended_ns - began_ns) / 1e9 < GATHER_S + 0.001

    play(scene())


def test_not_while_a_request_is_under_way() -> None:
    async def scene() -> None:
        it = Scene()
        it.spend_busy_share(10)
        it.in_flight = 1
        it.pump.wake()
        await asyncio.sleep(5)
        assert it.left == 1
        it.in_flight = 0
        await asyncio.sleep(1)
        assert it.left == 0

    play(scene())


def test_not_while_the_loop_has_something_to_do() -> None:
    async def scene() -> None:
        it = Scene()
        it.spend_busy_share(100)
        await asyncio.sleep(30)
        stop = it.keep_busy(QUIET_TURN_NS + 1)
        it.pump.wake()
        for _ in range(200):
            await asyncio.sleep(0)
        assert it.left == 1
        stop()
        await asyncio.sleep(1)
        assert it.left == 0

    play(scene())


def test_a_server_that_is_never_quiet_works_a_little_all_the_same() -> None:
    async def scene() -> None:
        it = Scene(pieces=2)
        it.in_flight = 1
        it.spend_busy_share(3)
        it.pump.wake()
        await asyncio.sleep(2.9)
        assert it.left == 2
        await asyncio.sleep(0.2)
        assert it.left < 2

    play(scene())


def test_nothing_is_called_for_after_its_end() -> None:
    async def scene() -> None:
        it = Scene()
        it.pump.wake()
        it.pump.stop()
        it.pump.stop()
        await asyncio.sleep(1)
        assert it.left == 1

    play(scene())
