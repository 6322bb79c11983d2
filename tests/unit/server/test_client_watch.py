"""ClientWatch: clients that go away, and bodies that do not come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.core.errors import Cancelled, DeadlineExceeded, PenstockError
from penstock.server.client_watch import ClientWatch


class FakeConnection:
    """Gives messages when it is told to."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        self.asked.set()
        return await self.messages.get()


async def request(connection: FakeConnection, work: Any, *, body_timeout_s: float = 10.0) -> Any:
    """What a request ends in: its own result, or why its watch ended it."""
    loop = asyncio.get_running_loop()
    watch = ClientWatch(connection.receive, loop, body_timeout_s)
    try:
        return await work(watch)
    except asyncio.CancelledError:
        why = watch.reason()
        if why is None:
            raise
        return why
    finally:
        watch.close()


async def hang(watch: ClientWatch) -> None:
    watch.body_complete()
    await asyncio.Event().wait()


async def test_a_quick_answer_never_looks_at_the_connection() -> None:
    connection = FakeConnection()

    async def quick(watch: ClientWatch) -> str:
        watch.body_complete()
        return "done"

    assert await request(connection, quick) == "done"
    assert not connection.asked.is_set()


async def test_a_client_that_goes_away_ends_its_request() -> None:
    connection = FakeConnection()
    task = asyncio.create_task(request(connection, hang))
    await connection.asked.wait()
    await connection.messages.put({"type": "http.disconnect"})
    assert isinstance(await task, Cancelled)
    assert task.cancelling() == 0


async def test_a_body_that_does_not_come_ends_its_request() -> None:
    connection = FakeConnection()

    async def read(watch: ClientWatch) -> None:
        await asyncio.Event().wait()

    why = await request(connection, read, body_timeout_s=0.01)
    assert isinstance(why, DeadlineExceeded)
    assert "0.01 seconds" in why.message


async def test_a_complete_body_stops_that_clock() -> None:
    connection = FakeConnection()

    async def slow_model(watch: ClientWatch) -> str:
        watch.body_complete()
        await connection.asked.wait()
        await asyncio.wait_for(asyncio.shield(asyncio.sleep(0.05)), 1)
        return "done"

    assert await request(connection, slow_model, body_timeout_s=0.001) == "done"


async def test_a_cancellation_from_elsewhere_is_not_the_clients() -> None:
    connection = FakeConnection()
    task = asyncio.create_task(request(connection, hang))
    await connection.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not isinstance(asyncio.CancelledError(), PenstockError)
