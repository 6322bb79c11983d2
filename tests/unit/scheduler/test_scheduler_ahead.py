"""The next batch sent ahead: to a copy that is alone and takes it, and only a full one."""

from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import DeadlineExceeded, ModelFailed, NotReady
from penstock.testing.puppet_instance import PuppetInstance

from .playing import ask, deadline, play, puppet, schedule, sent, settle, values


def test_a_full_batch_is_sent_ahead_and_only_one() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=2)
        replies = [sent(scheduler, ask(n)) for n in range(6)]
        await settle()
        assert instance.rows == [1, 2]
        assert (scheduler.stats.busy, scheduler.stats.queue_requests) == (1, 3)
        instance.finish()
        assert instance.rows == [1, 2, 2]
        for _ in range(3):
            instance.finish()
        assert [values(r) for r in await asyncio.gather(*replies)] == [[n] for n in range(6)]
        assert instance.rows == [1, 2, 2, 1]
        assert scheduler.stats.busy == 0
        assert instance.violations == []

    play(scene())


def test_a_batch_that_could_grow_waits() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=4)
        replies = [sent(scheduler, ask(n)) for n in range(4)]
        await settle()
        assert instance.rows == [1]
        replies.append(sent(scheduler, ask(4)))
        await settle()
        assert instance.rows == [1, 4]
        instance.finish()
        instance.finish()
        await asyncio.gather(*replies)

    play(scene())


@pytest.mark.parametrize("takes_ahead", [True, False])
def test_several_copies_are_not_sent_ahead_nor_one_that_does_not_take_it(
    *, takes_ahead: bool
) -> None:
    async def scene() -> None:
        number = 2 if takes_ahead else 1
        instances = [puppet(takes_ahead=takes_ahead) for _ in range(number)]
        scheduler = schedule(*instances, max_batch_size=1)
        replies = [sent(scheduler, ask(n)) for n in range(4)]
        await settle()
        assert sum(len(one.works) for one in instances) == number
        while not all(reply.done() for reply in replies):
            for one in instances:
                if one.is_busy:
                    one.finish()
            await settle()
        assert all(one.violations == [] for one in instances)

    play(scene())


def test_what_does_not_merge_is_looked_at_once_for_each_batch_of_newcomers() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=2)
        replies = [sent(scheduler, ask(0))]
        await settle()
        replies += [sent(scheduler, ask(n, parameters={"n": n})) for n in range(1, 5)]
        await settle()
        assert instance.rows == [1]
        replies.append(sent(scheduler, ask(9, parameters={"n": 1})))
        replies.append(sent(scheduler, ask(10, parameters={"n": 2})))
        await settle()
        assert instance.rows == [1, 2]
        while not all(reply.done() for reply in replies):
            instance.finish()
            await settle()
        assert instance.rows == [1, 2, 2, 1, 1]

    play(scene())


def test_one_that_was_sent_ahead_has_its_outcome_by_its_deadline() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=1)
        first = sent(scheduler, ask(1))
        late = sent(scheduler, ask(2, deadline=deadline(0.5)))
        await settle()
        assert len(instance.works) == 2
        with pytest.raises(DeadlineExceeded):
            await late
        instance.finish()
        assert values(await first) == [1]
        instance.finish()
        assert scheduler.stats.busy == 0

    play(scene())


def test_an_error_of_one_batch_is_not_the_next_ones() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=1)
        replies = [sent(scheduler, ask(n)) for n in range(2)]
        await settle()
        instance.finish(ModelFailed("no"))
        instance.finish()
        with pytest.raises(ModelFailed):
            await replies[0]
        assert values(await replies[1]) == [1]

    play(scene())


def test_requests_of_a_failed_batch_run_again_before_more_is_sent_ahead() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=2)
        replies = [sent(scheduler, ask(n)) for n in range(7)]
        await settle()
        assert instance.rows == [1, 2]
        instance.finish()  # a further one goes ahead
        instance.finish(ModelFailed("no"))
        assert instance.rows == [1, 2, 2]
        instance.finish()
        assert instance.rows[3:] == [1]
        while not all(reply.done() for reply in replies):
            instance.finish()
            await settle()
        assert instance.violations == []

    play(scene())


def test_at_the_end_all_have_their_outcome() -> None:
    async def scene() -> None:
        instance: PuppetInstance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=1)
        replies = [sent(scheduler, ask(n)) for n in range(3)]
        await settle()
        closing = asyncio.create_task(scheduler.close())
        for reply in replies:
            with pytest.raises(NotReady):
                await reply
        instance.finish()
        instance.finish()
        await closing

    play(scene())


def test_a_slow_model_gets_nothing_ahead() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=1, warm_up_ns=30_000_000)
        replies = [sent(scheduler, ask(n)) for n in range(3)]
        await settle()
        assert instance.rows == [1]
        for _ in replies:
            instance.finish()
        await asyncio.gather(*replies)
        replies = [sent(scheduler, ask(n)) for n in range(3)]
        await settle()
        assert instance.rows[3:] == [1], "a long execution is forgotten slowly"
        instance.finish()
        await settle()
        assert instance.rows[3:] == [1, 1, 1], "now it is"
        while not all(reply.done() for reply in replies):
            instance.finish()
            await settle()

    play(scene())


def test_a_copy_that_computes_long_already_gets_nothing_ahead() -> None:
    async def scene() -> None:
        instance = puppet(takes_ahead=True)
        scheduler = schedule(instance, max_batch_size=1)
        first = sent(scheduler, ask(1))
        await asyncio.sleep(0.05)
        second = sent(scheduler, ask(2))
        await settle()
        assert instance.rows == [1]
        second.cancel()
        await settle()
        instance.finish()
        await first
        assert instance.rows == [1], "who went away is not computed"

    play(scene())
