"""Models fast enough for the event loop."""

import asyncio

import pytest

from penstock.core.signature import ModelSignature
from penstock.repository.manifest import Instances
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Work

from .playing import (
    X,
    ask,
    clock,
    play,
    puppet,
    schedule,
    sent,
    values,
)


def test_a_fast_model_answers_on_the_event_loop() -> None:
    async def scene() -> None:
        instance = puppet(can_inline=True)
        scheduler = schedule(instance, warm_up_ns=1000)
        assert scheduler.stats.inline
        assert values(await scheduler.infer(ask(1, 2))) == [1, 2]
        assert instance.num_inline == 1
        assert scheduler.stats.executions[2][0] == 1
        assert instance.violations == []

    play(scene())


def test_a_fast_model_without_batches_answers_on_the_event_loop() -> None:
    async def scene() -> None:
        instance = puppet(can_inline=True)
        signature = ModelSignature((X,), (X,), batched=False)
        scheduler = schedule(instance, warm_up_ns=1000, signature=signature)
        assert values(await scheduler.infer(ask(1, 2))) == [1, 2]
        assert instance.num_inline == 1

    play(scene())


def test_an_oversized_request_to_a_fast_model() -> None:
    async def scene() -> None:
        instance = puppet(can_inline=True)
        scheduler = schedule(instance, warm_up_ns=1000, max_batch_size=2)
        assert values(await scheduler.infer(ask(*range(5)))) == [0, 1, 2, 3, 4]
        assert instance.rows == [2, 2, 1]
        assert instance.num_inline == 3

    play(scene())


@pytest.mark.parametrize(
    ("can_inline", "inline", "warm_up_ns"),
    [(False, "auto", 1000), (True, "never", 1000), (True, "auto", 10_000_000)],
    ids=["not safe", "forbidden", "too slow"],
)
def test_who_may_not_run_on_the_event_loop(can_inline: bool, inline: str, warm_up_ns: int) -> None:
    async def scene() -> None:
        instance = puppet(can_inline=can_inline)
        scheduler = schedule(
            instance,
            warm_up_ns=warm_up_ns,
            instances=Instances(inline=inline),  # type: ignore[arg-type]
        )
        assert not scheduler.stats.inline
        reply = sent(scheduler, ask(1))
        await instance.wait_until_busy()
        instance.finish()
        await reply
        assert instance.num_inline == 0

    play(scene())


def test_a_model_that_turns_slow_leaves_the_event_loop() -> None:
    async def scene() -> None:
        def slow(work: Work) -> ExecuteResult:
            clock()._jump.now_s += 0.01
            return ExecuteResult(tuple(work.inputs))

        instance = puppet(answer=slow, can_inline=True)
        scheduler = schedule(instance, warm_up_ns=1000)
        num_inline = 0
        while scheduler.stats.inline:
            await scheduler.infer(ask(1))
            num_inline += 1
        assert 1 < num_inline < 20
        reply = sent(scheduler, ask(1))
        await instance.wait_until_busy()
        instance.finish()
        await reply

    play(scene())


def test_requests_that_keep_coming_together_are_answered_together() -> None:
    async def scene() -> None:
        instance = puppet(can_inline=True)
        scheduler = schedule(instance, warm_up_ns=1000)
        for _ in range(6):
            replies = [sent(scheduler, ask(n)) for n in range(5)]
            assert [values(r) for r in await asyncio.gather(*replies)] == [[n] for n in range(5)]
        assert instance.rows[-1] == 5
        for _ in range(10):
            await scheduler.infer(ask(1))
            await asyncio.sleep(0)
        num_works = len(instance.works)
        now = asyncio.ensure_future(scheduler.infer(ask(1)))
        await asyncio.sleep(0)
        assert now.done()
        assert len(instance.works) == num_works + 1

    play(scene())
