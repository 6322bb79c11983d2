"""One timer for all of a model's requests."""

from __future__ import annotations

import asyncio

from penstock.scheduler.deadlines import Deadlines
from penstock.scheduler.request_queue import Waiting

from .playing import ask, clock, play


class _Watched:
    """Requests with deadlines, and when each expired."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.expired: list[tuple[float, float]] = []
        self.start_s = clock().time()
        self.num_looks = 0
        self.deadlines = Deadlines(
            asyncio.get_running_loop(), clock().monotonic_ns, self._all, self._expire
        )

    def add(self, after_s: float) -> Waiting:
        at_ns = clock().monotonic_ns() + int(after_s * 1e9)
        outcome = asyncio.get_running_loop().create_future()
        one = Waiting(ask(1), 1, arrived_ns=0, deadline_ns=at_ns, outcome=outcome)
        self.waiting.append(one)
        self.deadlines.watch(one)
        return one

    def _all(self) -> list[Waiting]:
        self.num_looks += 1
        return self.waiting

    def _expire(self, one: Waiting) -> None:
        one.outcome.set_result(())
        due_s = one.deadline_ns / 1e9 - self.start_s
        self.expired.append((round(due_s, 3), round(clock().time() - self.start_s, 3)))


def test_each_expires_when_its_own_time_is_over() -> None:
    async def scene() -> None:
        watched = _Watched()
        for after_s in (0.5, 0.2, 0.2, 3.0, 0.0):
            watched.add(after_s)
        await asyncio.sleep(0.3)
        watched.add(0.1)
        await asyncio.sleep(4)
        assert [due for due, _ in watched.expired] == [0.0, 0.2, 0.2, 0.4, 0.5, 3.0]
        assert all(0 <= at - due < 0.002 for due, at in watched.expired)

    play(scene())


def test_what_is_answered_does_not_expire_and_costs_one_look() -> None:
    async def scene() -> None:
        watched = _Watched()
        for _ in range(100):
            watched.add(1.0).outcome.set_result(())
            await asyncio.sleep(0.001)
        await asyncio.sleep(5)
        assert watched.expired == []
        assert watched.num_looks == 1

    play(scene())


def test_after_its_end_nothing_expires() -> None:
    async def scene() -> None:
        watched = _Watched()
        one = watched.add(0.1)
        watched.deadlines.close()
        await asyncio.sleep(1)
        assert not one.outcome.done()

    play(scene())
