"""Deadlines, cancellations, hung copies: who is answered when."""

import asyncio

import pytest

from penstock.core.errors import (
    DeadlineExceeded,
    ModelFailed,
    NotReady,
)
from penstock.repository.manifest import Queue

from .playing import (
    ask,
    clock,
    deadline,
    play,
    puppet,
    schedule,
    sent,
    settle,
    values,
)

LATE = (
    "model 'm' did not answer within the request's time; give it more "
    "with the 'timeout' parameter, or send less at once"
)


def test_a_deadline_that_is_over_on_arrival() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        with pytest.raises(DeadlineExceeded) as caught:
            await scheduler.infer(ask(1, deadline=deadline(0)))
        assert caught.value.message == LATE
        assert instance.works == []

    play(scene())


def test_a_deadline_in_the_queue() -> None:
    """It is answered by its deadline, and the others run without it."""

    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        running = sent(scheduler, ask(1))
        hasty = sent(scheduler, ask(2, deadline=deadline(0.5)))
        patient = sent(scheduler, ask(3, deadline=deadline(5)))
        started_s = clock().time()
        with pytest.raises(DeadlineExceeded) as caught:
            await hasty
        assert caught.value.message == LATE
        assert clock().time() - started_s == pytest.approx(0.5, abs=0.001)
        assert scheduler.stats.queue_requests == 1
        instance.finish()
        instance.finish()
        assert instance.rows == [1, 1]
        assert values(await running) == [1]
        assert values(await patient) == [3]

    play(scene())


def test_a_deadline_while_executing() -> None:
    """The client is answered in time; its neighbour gets its own rows."""

    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        first = sent(scheduler, ask(0))
        await settle()
        hasty = sent(scheduler, ask(1, deadline=deadline(0.5)))
        patient = sent(scheduler, ask(2))
        await settle()
        instance.finish()
        assert instance.rows == [1, 2]
        with pytest.raises(DeadlineExceeded):
            await hasty
        instance.finish()
        assert values(await first) == [0]
        assert values(await patient) == [2]
        assert scheduler.stats.outcomes == {"ok": 2, "deadline_exceeded": 1}

    play(scene())


def test_a_request_without_a_deadline_gets_the_models() -> None:
    async def scene() -> None:
        scheduler = schedule(puppet(), queue=Queue(default_timeout_s=2))
        started_s = clock().time()
        with pytest.raises(DeadlineExceeded):
            await scheduler.infer(ask(1))
        assert clock().time() - started_s == pytest.approx(2, abs=0.001)

    play(scene())


def test_a_deadline_found_over_when_the_batch_is_made() -> None:
    """The timer has not fired yet (the loop was held up): the instance is spared all the same."""

    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        first = sent(scheduler, ask(0))
        late = sent(scheduler, ask(1, deadline=deadline(0.5)))
        await settle()
        clock()._jump.now_s += 1
        instance.finish()
        assert instance.works[1:] == []
        with pytest.raises(DeadlineExceeded):
            await late
        await first

    play(scene())


def test_a_hung_instance_and_its_recovery() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, queue=Queue(default_timeout_s=1))
        hung, behind = sent(scheduler, ask(1)), sent(scheduler, ask(2))
        for reply in (hung, behind):
            with pytest.raises(DeadlineExceeded):
                await reply
        assert scheduler.stats.busy == 1
        assert scheduler.stats.queue_requests == 0
        instance.finish()
        after = sent(scheduler, ask(3))
        await settle()
        instance.finish()
        assert values(await after) == [3]
        assert instance.rows == [1, 1]

    play(scene())


def test_cancellation_takes_a_request_out_of_the_queue() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        running, gone, stays = (sent(scheduler, ask(n)) for n in range(3))
        await settle()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert scheduler.stats.queue_requests == 1
        instance.finish()
        assert instance.works[1].inputs[0].array[:, 0].tolist() == [2]
        instance.finish()
        await asyncio.gather(running, stays)
        assert scheduler.stats.outcomes == {"cancelled": 1, "ok": 2}

    play(scene())


def test_cancellation_while_executing_leaves_the_neighbours_alone() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        running, gone, stays = (sent(scheduler, ask(n)) for n in range(3))
        await settle()
        instance.finish()
        gone.cancel()
        await settle()
        instance.finish()
        assert values(await running) == [0]
        assert values(await stays) == [2]
        assert gone.cancelled()

    play(scene())


def test_a_cancelled_request_is_not_tried_again() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        first, gone, stays = (sent(scheduler, ask(n)) for n in range(3))
        await settle()
        instance.finish()
        gone.cancel()
        await settle()
        instance.finish(ModelFailed("no"))
        instance.finish()
        assert values(await stays) == [2]
        assert instance.rows == [1, 2, 1]
        await first

    play(scene())


def test_a_closed_scheduler_is_not_ready() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        await scheduler.close()
        assert instance.is_closed
        with pytest.raises(NotReady, match=r"^'m' version 3 is not at ready state$"):
            await scheduler.infer(ask(1))

    play(scene())


def test_close_waits_for_the_work_at_hand() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        reply = sent(scheduler, ask(1))
        await instance.wait_until_busy()
        closing = asyncio.create_task(scheduler.close())
        await settle()
        assert not closing.done()
        with pytest.raises(NotReady, match="the server is shutting down"):
            await reply
        instance.finish()
        await closing

    play(scene())
