"""The thread of a client: in order, cancelled, hanging, ended; and who lets go of the client."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from penstock.jobs.stream.kafka_thread import KafkaThread


class Client:
    """Knows which thread let go of it."""

    def __init__(self, ends: list[str]) -> None:
        self._ends = ends

    def __del__(self) -> None:
        self._ends.append(threading.current_thread().name)

    def fail(self) -> None:
        raise OSError("away")


async def test_calls_are_made_one_after_the_other() -> None:
    thread, made = KafkaThread("client"), []
    for number in range(3):
        thread.submit(made.append, number)
    assert await thread.call(lambda a, b: a + b, 1, 2) == 3
    await thread.end(lambda: made.append("last"))
    assert made == [0, 1, 2, "last"]


async def test_what_a_call_raises_is_raised_where_it_is_waited_for() -> None:
    thread = KafkaThread("client")
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await thread.end(lambda: 1 // 0)


async def test_a_call_that_is_cancelled_before_it_begins_is_not_made() -> None:
    thread, go, made = KafkaThread("client"), threading.Event(), []
    thread.submit(go.wait)
    waits = asyncio.ensure_future(thread.call(made.append, 1))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    go.set()
    await thread.end(lambda: None)
    assert made == []


async def test_a_thread_that_has_ended_takes_no_more() -> None:
    thread, ends = KafkaThread("client"), []
    await thread.call(lambda: None)
    for _ in range(2):
        await thread.end(lambda: ends.append(1))
    assert ends == [1]
    with pytest.raises(RuntimeError, match="'client' has ended"):
        thread.submit(lambda: None)


async def test_one_that_was_never_asked_has_nothing_to_end() -> None:
    thread, ends = KafkaThread("client"), []
    await thread.end(lambda: ends.append(1))
    assert ends == []
    with pytest.raises(RuntimeError):
        thread.submit(lambda: None)


async def test_a_client_that_does_not_end_is_left(caplog: pytest.LogCaptureFixture) -> None:
    thread, go = KafkaThread("client"), threading.Event()
    await thread.call(lambda: None)
    with caplog.at_level(logging.WARNING):
        await thread.end(go.wait, timeout_s=0.05)
    assert "client: the client has not ended" in caplog.text
    go.set()


def fails(client: Client) -> None:
    client.fail()


def fails_for_another_reason(client: Client) -> None:
    try:
        client.fail()
    except OSError as err:
        raise ValueError("the brokers are away") from err


@pytest.mark.parametrize("work", [fails, fails_for_another_reason])
async def test_an_error_does_not_carry_the_client_to_who_hears_it(
    work: Callable[[Any], None],
) -> None:
    thread, ends = KafkaThread("client"), []
    with pytest.raises((OSError, ValueError)):
        await thread.call(lambda: work(Client(ends)))
    await thread.end(lambda: None)
    assert ends == ["client"]


async def test_an_error_that_is_raised_again_ends_nobody_who_waits() -> None:
    """Its traceback still tells of the coroutine that heard it first, and goes on."""
    thread, again = KafkaThread("client"), OSError("away")

    def fail() -> None:
        raise again

    async def tried_twice() -> int:
        for _ in range(2):
            with suppress(OSError):
                await thread.call(fail)
        return 2

    assert await tried_twice() == 2
    await thread.end(lambda: None)


async def test_what_the_last_call_raises_too_late_is_nobodys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thread, go = KafkaThread("client"), threading.Event()

    def fail() -> None:
        go.wait()
        raise OSError("away")

    await thread.call(lambda: None)
    await thread.end(fail, timeout_s=0.05)
    caplog.clear()
    go.set()
    await asyncio.sleep(0.1)
    gc.collect()
    assert caplog.text == ""


def test_a_process_ends_though_its_client_does_not() -> None:
    program = """
import asyncio, threading
from penstock.jobs.stream.kafka_thread import KafkaThread

async def main():
    thread = KafkaThread("client")
    await thread.call(print, "begun")
    await thread.end(threading.Event().wait, timeout_s=0.05)

asyncio.run(main())
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stdout) == (0, "begun\n")
