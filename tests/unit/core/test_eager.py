"""A coroutine that is started at once behaves as one in a task, but for the task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from penstock.core.eager import in_a_task, start

_name: ContextVar[str] = ContextVar("name", default="outside")


async def _later(work: Coroutine[Any, Any, Any]) -> Any:
    """Start ``work`` from a callback of the loop, as a connection does: no task is running."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def begin() -> None:
        try:
            done.set_result(start(work, loop))
        except KeyError as err:
            done.set_exception(err)

    loop.call_soon(begin)
    return await done


async def test_what_does_not_wait_costs_no_task() -> None:
    seen = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    assert await _later(work()) is None
    assert seen == [None]


async def test_what_it_raises_before_its_first_wait_is_raised() -> None:
    async def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await _later(work())


async def test_the_rest_is_a_task_with_its_result() -> None:
    gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        first = await gate
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return first + 1

    task = await _later(work())
    assert isinstance(task, asyncio.Task)
    gate.set_result(1)
    assert await task == 2


async def test_an_error_of_what_it_waits_for_reaches_it() -> None:
    gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await gate
        except ValueError as err:
            return str(err)
        return ""

    task = await _later(work())
    gate.set_exception(ValueError("broken"))
    assert await task == "broken"


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_cancelled_at_any_time_it_cleans_up_once(turns: int) -> None:
    seen = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("end")

    task = await _later(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "end"]


async def test_one_that_survives_its_cancellation_goes_on() -> None:
    gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        return await gate

    task = await _later(work())
    task.cancel()
    await asyncio.sleep(0)
    gate.set_result(3)
    assert await task == 3


async def test_what_it_sets_stays_its_own() -> None:
    seen = []

    async def work() -> None:
        _name.set("inside")
        await asyncio.sleep(0)
        seen.append(_name.get())

    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def begin() -> None:
        task = start(work(), loop)
        done.set_result((task, _name.get()))

    loop.call_soon(begin)
    task, outside = await done
    await task
    assert (seen, outside) == (["inside"], "outside")


async def test_what_needs_a_task_can_have_one() -> None:
    async def work() -> str:
        await in_a_task()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return "in time"

    task = await _later(work())
    assert await task == "in time"


async def test_in_a_task_it_goes_on_at_once() -> None:
    turned = []
    asyncio.get_running_loop().call_soon(turned.append, True)
    await in_a_task()
    assert not turned
