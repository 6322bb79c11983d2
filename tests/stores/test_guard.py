"""Time-outs: a slow store is given up, a store that could not be heard is not."""

from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.breaker import BreakerOptions
from penstock.stores.guard import Guard
from penstock.telemetry.store_stats import StoreStats
from tests.unit.scheduler.playing import JumpingLoop, clock, play


def guard(timeout_s: float = 0.05) -> Guard:
    return Guard(
        "read",
        timeout_s=timeout_s,
        options=BreakerOptions(),
        stats=StoreStats("s"),
        clock=clock(),
    )


def stand_still(loop: JumpingLoop, seconds: float) -> None:
    """Something computes on the event loop for so long."""
    loop._jump.now_s += seconds


def test_a_slow_store_is_given_up_in_time() -> None:
    async def scene() -> None:
        started = clock().time()
        with pytest.raises(StoreError) as refusal:
            await guard().call(asyncio.Event().wait)
        assert refusal.value.fault is StoreFault.TIMEOUT
        assert clock().time() - started == pytest.approx(0.05, abs=0.001)

    play(scene())


def test_an_answer_that_nobody_could_read_is_waited_for() -> None:
    async def scene() -> None:
        loop = clock()
        answer: asyncio.Future[str] = loop.create_future()

        async def ask() -> str:
            for _ in range(3):  # the socket, the parser, the group: a turn of the loop each
                await asyncio.sleep(0)
            return await answer

        task = asyncio.create_task(guard().call(ask))
        await asyncio.sleep(0)
        stand_still(loop, 1.0)
        await asyncio.sleep(0.001)
        answer.set_result("there")
        assert await task == "there"

    play(scene())


def test_a_loop_that_stands_still_again_and_again_does_not_wait_forever() -> None:
    async def scene() -> None:
        loop = clock()
        task = asyncio.create_task(guard().call(asyncio.Event().wait))
        stalls = 0
        while not task.done():
            await asyncio.sleep(0)
            stand_still(loop, 0.1)
            stalls += 1
        with pytest.raises(StoreError):
            await task
        assert stalls < 20

    play(scene())


def test_being_cancelled_is_no_failure_of_the_store() -> None:
    async def scene() -> None:
        it = guard()
        task = asyncio.create_task(it.call(asyncio.Event().wait))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert it._stats.errors == {}

    play(scene())


def test_a_time_out_of_the_callers_own_is_the_callers() -> None:
    async def scene() -> None:
        it = guard(timeout_s=10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await it.call(asyncio.Event().wait)
        assert it._stats.errors == {}

    play(scene())
