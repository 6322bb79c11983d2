"""BoundedCalls: what does not come back is left behind, and closed when it does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from penstock.jobs.batch.databases.bounded_calls import BoundedCalls, SilenceError


@pytest.fixture
def going_on() -> Iterator[threading.Event]:
    """What stuck calls wait for."""
    event = threading.Event()
    yield event
    event.set()


def of_name(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_calls_bring_what_they_bring_on_one_thread() -> None:
    calls = BoundedCalls("one", 10.0)
    (thread,) = of_name("one")

    assert calls.call(lambda: 3) == 3
    assert calls.call(threading.current_thread) is thread
    for error in (ValueError("mine"), TimeoutError("mine")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error), match="mine"):
            calls.call(fail)
    assert calls.call(lambda: 4) == 4

    closed: list[str] = []
    calls.close(lambda: closed.append("by its thread"))
    thread.join(10)
    assert (closed, thread.is_alive()) == (["by its thread"], False)
    calls.close(lambda: closed.append("again"))
    assert closed == ["by its thread"]
    with pytest.raises(SilenceError, match="is closed"):
        calls.call(lambda: 5)


def test_a_call_that_does_not_come_back_is_left_and_closed_later(
    going_on: threading.Event,
) -> None:
    calls = BoundedCalls("left", 0.05)
    (thread,) = of_name("left")
    done: list[str] = []

    def stick() -> None:
        going_on.wait()
        done.append("stuck")

    with pytest.raises(SilenceError, match=r"said nothing for 0\.05 s"):
        calls.call(stick)
    with pytest.raises(SilenceError, match="said nothing"):
        calls.call(lambda: done.append("never"))
    calls.give_back(lambda: done.append("given back"))
    calls.close(lambda: done.append("closed"))
    assert done == []

    going_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert done == ["stuck", "given back", "closed"]


def test_whoever_interrupts_a_call_waits_for_nothing(
    going_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    calls = BoundedCalls("interrupted", 600.0)
    monkeypatch.setattr("penstock.jobs.batch.databases.bounded_calls.wait", interrupted)

    with pytest.raises(KeyboardInterrupt):
        calls.call(going_on.wait)
    calls.close(lambda: None)
