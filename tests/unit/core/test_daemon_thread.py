"""Work on a thread that no process waits for."""

import asyncio
import threading

import pytest

from penstock.core.daemon_thread import on_daemon_thread

LIMIT_S = 10


async def test_it_gives_what_the_work_gives() -> None:
    thread = await on_daemon_thread(threading.current_thread, "penstock-test")
    assert (thread.daemon, thread.name) == (True, "penstock-test")


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), SystemExit(3)])
async def test_it_raises_what_the_work_raises(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await on_daemon_thread(work, "penstock-test")
    assert caught.value is error


async def test_work_that_stops_an_iteration_is_no_end_of_ours() -> None:
    with pytest.raises(RuntimeError):
        await on_daemon_thread(lambda: next(iter([])), "penstock-test")


async def test_nobody_waits_for_work_that_was_cancelled() -> None:
    gate = threading.Event()
    waiting = asyncio.create_task(on_daemon_thread(lambda: gate.wait(LIMIT_S), "penstock-test"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await on_daemon_thread(lambda: None, "penstock-test")  # the first one's answer is in, too


def test_work_that_outlives_its_loop() -> None:
    started, gate, threads = threading.Event(), threading.Event(), []

    def work() -> None:
        threads.append(threading.current_thread())
        started.set()
        gate.wait(LIMIT_S)

    async def give_up() -> None:
        waiting = asyncio.create_task(on_daemon_thread(work, "penstock-test"))
        await asyncio.to_thread(started.wait, LIMIT_S)
        waiting.cancel()

    asyncio.run(give_up())
    gate.set()
    threads[0].join(LIMIT_S)
    assert not threads[0].is_alive()
