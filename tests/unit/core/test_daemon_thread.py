"""Work on a thread that no process waits for."""

import asyncio
import logging
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


async def _given_up(before_it_is_made: bool) -> list[int]:
    """What is dropped of work that was called off while it ran, or once it had ended."""
    dropped: list[int] = []
    started, gate, is_dropped = threading.Event(), threading.Event(), threading.Event()

    def work() -> int:
        started.set()
        gate.wait(LIMIT_S)
        return 7

    def drop(made: int) -> None:
        dropped.append(made)
        is_dropped.set()

    waiting = asyncio.create_task(on_daemon_thread(work, "penstock-test", drop=drop))
    await asyncio.to_thread(started.wait, LIMIT_S)
    if before_it_is_made:
        waiting.cancel()
        await asyncio.wait({waiting})
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "penstock-test":
            thread.join(LIMIT_S)  # the loop does not run: nobody has the answer yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(is_dropped.wait, LIMIT_S)
    return dropped


@pytest.mark.parametrize("before_it_is_made", [True, False])
async def test_what_nobody_waits_for_is_given_back_once(before_it_is_made: bool) -> None:
    assert await _given_up(before_it_is_made) == [7]


async def test_what_somebody_waits_for_is_not_given_back() -> None:
    dropped: list[int] = []
    assert await on_daemon_thread(lambda: 7, "penstock-test", drop=dropped.append) == 7
    assert dropped == []


def test_what_is_made_after_the_end_of_its_loop_is_given_back() -> None:
    started, gate, dropped = threading.Event(), threading.Event(), threading.Event()

    def work() -> threading.Event:
        started.set()
        gate.wait(LIMIT_S)
        return dropped

    loop = asyncio.new_event_loop()
    work_done = on_daemon_thread(work, "penstock-test", drop=threading.Event.set)
    waiting = loop.create_task(work_done)
    loop.run_until_complete(asyncio.sleep(0))
    assert started.wait(LIMIT_S)
    loop.close()
    gate.set()
    assert dropped.wait(LIMIT_S)
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_a_drop_that_raises_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    gate = threading.Event()

    def drop(made: object) -> None:
        raise LookupError("it is stuck")

    work = on_daemon_thread(lambda: gate.wait(LIMIT_S), "penstock-test", drop=drop)
    waiting = asyncio.create_task(work)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    (thread,) = (one for one in threading.enumerate() if one.name == "penstock-test")
    gate.set()
    await asyncio.to_thread(thread.join, LIMIT_S)
    assert "what the thread 'penstock-test' made could not be given back" in caplog.text
