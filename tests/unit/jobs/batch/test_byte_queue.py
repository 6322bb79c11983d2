"""ByteQueue and LaneQueue: what lies in them, and who waits."""

from __future__ import annotations

import threading

import pytest

from penstock.jobs.batch.byte_queue import ByteQueue, LaneQueue, QueueAborted


def started(work: object) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_a_full_queue_lets_nobody_in_until_something_is_taken() -> None:
    queue: ByteQueue[str] = ByteQueue(1000)
    queue.put("first", 600)
    thread = started(lambda: queue.put("second", 600))
    thread.join(0.05)
    assert thread.is_alive()
    assert queue.get() == "first"
    thread.join(10)
    assert queue.get() == "second"
    assert queue.peak_bytes <= 1000


def test_an_item_larger_than_the_queue_passes_from_hand_to_hand() -> None:
    queue: ByteQueue[str] = ByteQueue(1000)
    thread = started(lambda: queue.put("huge", 10**9))
    thread.join(0.05)
    assert thread.is_alive()
    assert queue.get() == "huge"
    thread.join(10)
    assert queue.peak_bytes == 0


def test_the_next_of_a_lane_gets_through_a_queue_full_of_later_ones() -> None:
    queue: LaneQueue[int] = LaneQueue(1000)
    queue.put(1, 500, lane=7, number=1)
    thread = started(lambda: queue.put(0, 900, lane=7, number=0))
    assert [queue.get(), queue.get()] == [0, 1]
    thread.join(10)
    assert queue.peak_bytes <= 1000


def test_what_is_closed_gives_what_it_has_and_then_nothing() -> None:
    queue: ByteQueue[str] = ByteQueue(1000)
    queue.put("last", 1)
    queue.close()
    assert queue.get() == "last"
    assert queue.get() is None
    lanes: LaneQueue[str] = LaneQueue(1000)
    lanes.close()
    assert lanes.get() is None


@pytest.mark.parametrize("kind", [ByteQueue, LaneQueue])
def test_whoever_waits_is_woken_when_it_is_aborted(kind: type) -> None:
    queue = kind(10)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            queue.get()
        except QueueAborted as err:
            caught.append(err)

    thread = started(wait)
    queue.abort()
    thread.join(10)
    assert len(caught) == 1
