"""Copies that die, come back, or stay away."""

import asyncio

import pytest

from penstock.core.errors import ModelCrashed, NotReady
from penstock.core.messages import InferResponse
from penstock.repository.manifest import Instances
from tests.unit.scheduler.playing import ask, play, puppet, schedule, sent, settle, values

IDEMPOTENT = Instances(kind="process", idempotent=True)


def test_a_copy_that_is_down_gets_nothing_and_the_other_goes_on() -> None:
    async def scene() -> None:
        first, second = puppet(), puppet()
        scheduler = schedule(first, second)
        second.take_down()
        first_answer = sent(scheduler, ask(1))
        second_answer = sent(scheduler, ask(2))
        await settle()
        assert (len(first.works), len(second.works)) == (1, 0)
        first.finish()
        await settle()
        first.finish()
        assert values(await first_answer) == [1]
        assert values(await second_answer) == [2]
        assert not first.violations + second.violations

    play(scene())


def test_requests_wait_for_a_copy_that_comes_back() -> None:
    async def scene() -> None:
        copy = puppet()
        scheduler = schedule(copy)
        copy.take_down()
        answer = sent(scheduler, ask(1))
        await settle()
        assert copy.works == []
        copy.bring_up()
        await settle()
        copy.finish()
        assert values(await answer) == [1]

    play(scene())


def test_a_crash_fails_its_batch_at_once_and_nothing_is_computed_twice() -> None:
    async def scene() -> None:
        copy = puppet()
        scheduler = schedule(copy, max_batch_size=4)
        gate = sent(scheduler, ask(0))
        await settle()
        batch = [sent(scheduler, ask(1)), sent(scheduler, ask(2))]
        await settle()
        copy.finish()
        await settle()
        assert copy.rows == [1, 2]
        copy.take_down()
        outcomes = await asyncio.gather(*batch, return_exceptions=True)
        assert [type(one) for one in outcomes] == [ModelCrashed, ModelCrashed]
        copy.bring_up()
        await settle()
        assert copy.rows == [1, 2]
        assert values(await gate) == [0]

    play(scene())


def test_an_idempotent_model_is_asked_once_more_each_request_alone() -> None:
    async def scene() -> None:
        copy = puppet()
        scheduler = schedule(copy, max_batch_size=4, instances=IDEMPOTENT)
        gate = sent(scheduler, ask(0))
        await settle()
        poison, innocent = sent(scheduler, ask(1)), sent(scheduler, ask(2))
        await settle()
        copy.finish()
        await gate
        copy.take_down()
        copy.bring_up()
        await settle()
        assert copy.rows == [1, 2, 1]
        copy.take_down()  # the poison again
        copy.bring_up()
        await settle()
        copy.finish()
        assert values(await innocent) == [2]
        with pytest.raises(ModelCrashed):
            await poison
        assert copy.rows == [1, 2, 1, 1]
        assert not copy.violations

    play(scene())


def test_what_a_dead_worker_had_not_begun_runs_again_as_often_as_it_takes() -> None:
    async def scene() -> None:
        copy = puppet()
        scheduler = schedule(copy)
        answer = sent(scheduler, ask(1))
        await settle()
        for _ in range(3):
            copy.finish(ModelCrashed("another's batch killed it", has_begun=False))
            await settle()
        copy.finish()
        assert values(await answer) == [1]
        assert copy.rows == [1, 1, 1, 1]

    play(scene())


def test_that_it_had_not_begun_is_no_second_try_for_what_had() -> None:
    async def scene() -> None:
        copy = puppet()
        scheduler = schedule(copy, instances=IDEMPOTENT)
        answer = sent(scheduler, ask(1))
        await settle()
        for has_begun in (True, False, True):
            copy.finish(ModelCrashed("it died", has_begun=has_begun))
            await settle()
        with pytest.raises(ModelCrashed):
            await answer
        assert copy.rows == [1, 1, 1]

    play(scene())


def test_a_copy_that_no_other_process_uses_comes_first() -> None:
    async def scene() -> None:
        first, second = puppet(), puppet()
        scheduler = schedule(first, second)
        second.is_elsewhere = True
        answers = [sent(scheduler, ask(1))]
        await settle()
        assert (len(first.works), len(second.works)) == (1, 0)
        answers.append(sent(scheduler, ask(2)))
        await settle()
        assert (len(first.works), len(second.works)) == (1, 1), "better than none"
        first.finish()
        second.finish()
        assert [values(await answer) for answer in answers] == [[1], [2]]

    play(scene())


def test_with_the_last_copy_in_quarantine_requests_are_refused_at_once_and_say_why() -> None:
    async def scene() -> None:
        first, second = puppet(), puppet()
        scheduler = schedule(first, second)
        fault = NotReady("in quarantine", retry_after_s=60)
        first.take_down(fault)
        waiting = [sent(scheduler, ask(n)) for n in (1, 2)]
        await settle()
        assert scheduler.fault is None
        second.take_down(fault)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in outcomes] == [ModelCrashed, NotReady]
        with pytest.raises(NotReady, match="in quarantine") as caught:
            await scheduler.infer(ask(3))
        assert caught.value.retry_after_s == 60
        assert scheduler.fault is fault
        first.bring_up()
        assert scheduler.fault is None
        answer = sent(scheduler, ask(4))
        await settle()
        first.finish()
        assert isinstance(await answer, InferResponse)

    play(scene())
