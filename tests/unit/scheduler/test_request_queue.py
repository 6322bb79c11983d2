"""The queue in front of the instances, by example."""

import asyncio
from typing import Any, cast

import pytest

from penstock.core.byte_size import ByteSize
from penstock.core.errors import Overloaded
from penstock.core.messages import InferRequest
from penstock.repository.manifest import Queue
from penstock.scheduler.request_queue import RequestQueue, Waiting

from .playing import pairs


def waiting(rows: int = 1, priority: int = 0) -> Waiting:
    request = InferRequest("m", (pairs(*range(rows)),), priority=priority)
    outcome = cast("asyncio.Future[Any]", None)
    return Waiting(request, rows, arrived_ns=0, deadline_ns=0, outcome=outcome)


def test_first_come_first_served_within_a_priority() -> None:
    queue = RequestQueue(Queue())
    items = [waiting(priority=p) for p in (0, 11, 10, 1, 1, 9)]
    for item in items:
        queue.push(item)
    assert list(queue) == [items[i] for i in (3, 4, 5, 0, 2, 1)]


def test_it_knows_what_waits() -> None:
    queue = RequestQueue(Queue())
    one, two = waiting(1), waiting(2)
    queue.push(one)
    queue.push(two)
    assert (len(queue), queue.num_requests, queue.num_bytes) == (2, 2, 24)
    assert queue.discard(one)
    assert not queue.discard(one)
    assert (len(queue), queue.num_bytes) == (1, 16)
    assert queue.discard(two)
    assert (len(queue), queue.num_bytes) == (0, 0)
    assert not queue


def test_bounds() -> None:
    queue = RequestQueue(Queue(max_requests=2, max_bytes=ByteSize(10)))
    queue.admit("m", 2, 10, lambda: 1)
    queue.push(waiting())
    with pytest.raises(Overloaded) as caught:
        queue.admit("m", 2, 0, lambda: 3.5)
    assert caught.value.message == "model 'm' is busy: 1 requests wait and 2 may. Try again later"
    assert caught.value.retry_after_s == 3.5
    with pytest.raises(Overloaded) as caught:
        queue.admit("m", 1, 3, lambda: 1)
    assert caught.value.message == (
        "model 'm' is busy: 8 bytes of inputs wait, 3 more came and 10 may wait. Try again later"
    )
    queue.admit("m", 1, 2, lambda: 1)
