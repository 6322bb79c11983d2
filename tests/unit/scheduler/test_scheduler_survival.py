"""What breaks around a batch costs its requests, never the instance; and the end answers all."""

import asyncio
from typing import Any

import numpy as np
import pytest

from penstock.core.errors import InvalidInput, ModelFailed, NotReady
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Work
from penstock.scheduler import outcomes as outcomes_module
from penstock.scheduler.request_queue import Waiting
from penstock.testing.puppet_instance import PuppetInstance

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

NO_RESULT: Any = None
FOREIGN_KEY: Any = {"row-a": InvalidInput(0, "negative")}
UNREADABLE = {
    "no result at all": NO_RESULT,
    "an index that is no number": ExecuteResult((), FOREIGN_KEY),
}


@pytest.mark.parametrize("warm_up_ns", [1, 10**9], ids=["inline", "thread"])
@pytest.mark.parametrize("case", list(UNREADABLE))
def test_an_answer_that_cannot_be_read(case: str, warm_up_ns: int) -> None:
    async def scene() -> None:
        script = [UNREADABLE[case]]

        def answer(work: Work) -> ExecuteResult:
            return script.pop() if script else ExecuteResult(tuple(work.inputs))

        instance = puppet(answer=answer, can_inline=True)
        scheduler = schedule(instance, warm_up_ns=warm_up_ns)
        for _ in range(2):
            reply = sent(scheduler, ask(1, 2))
            await settle()
            if instance.is_busy:
                instance.finish()
            await settle()
            if reply.exception() is not None:
                assert isinstance(reply.exception(), ModelFailed)
                assert "its answer could not be read (" in str(reply.exception())
        assert values(await reply) == [1, 2]
        assert scheduler.stats.outcomes == {"model_failed": 1, "ok": 1}
        assert scheduler.stats.busy == 0

    play(scene())


def test_an_unreadable_answer_to_many_is_asked_for_again_one_by_one() -> None:
    async def scene() -> None:
        def answer(work: Work) -> ExecuteResult:
            if 13 in work.inputs[0].array:
                return NO_RESULT
            return ExecuteResult(tuple(work.inputs))

        instance = puppet(answer=answer)
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(n)) for n in (0, 1, 13, 3)]
        await settle()
        for _ in range(5):
            instance.finish()
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert isinstance(results[2], ModelFailed)
        assert [values(results[i]) for i in (0, 1, 3)] == [[0], [1], [3]]

    play(scene())


@pytest.mark.parametrize("can_inline", [True, False], ids=["inline", "thread"])
def test_no_memory_to_merge_in(monkeypatch: pytest.MonkeyPatch, can_inline: bool) -> None:
    real = outcomes_module.merge

    def merge(requests: list[tuple[Tensor, ...]], padding: object) -> tuple[Tensor, ...]:
        if len(requests) > 1 or 13 in requests[0][0].array:
            raise MemoryError
        return real(requests, None)

    monkeypatch.setattr(outcomes_module, "merge", merge)

    async def scene() -> None:
        instance = puppet(can_inline=can_inline)
        scheduler = schedule(instance, warm_up_ns=1000)
        scheduler._gathering.pays = True
        replies = [sent(scheduler, ask(n, deadline=deadline(9))) for n in (0, 1, 13, 3)]
        for _ in range(8):
            await settle()
            if instance.is_busy:
                instance.finish()
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert isinstance(results[2], ModelFailed)
        assert "its inputs could not be laid together (MemoryError)" in results[2].message
        assert [values(results[i]) for i in (0, 1, 3)] == [[0], [1], [3]]
        assert scheduler.stats.execute_ns.count == len(instance.works)

    play(scene())


def test_padding_that_breaks_a_fast_models_request() -> None:
    async def scene() -> None:
        instance = puppet(can_inline=True)
        scheduler = schedule(instance, warm_up_ns=1000)

        class Broken:
            def length(self, inputs: object) -> int:
                raise OverflowError("no such length")

        scheduler._padding = Broken()  # type: ignore[assignment]
        with pytest.raises(ModelFailed, match="OverflowError"):
            await scheduler.infer(ask(1))
        scheduler._padding = None
        assert values(await scheduler.infer(ask(2))) == [2]

    play(scene())


def test_an_instance_that_takes_no_work() -> None:
    """Where no thread can be started, for one."""

    class Refusing(PuppetInstance):
        refusals = 3

        def submit(self, work: Work, on_done: Any) -> None:
            if self.refusals:
                self.refusals -= 1
                raise RuntimeError("can't start new thread")
            super().submit(work, on_done)

    async def scene() -> None:
        instance = Refusing(clock=clock())
        scheduler = schedule(instance)
        for _ in range(Refusing.refusals):
            with pytest.raises(ModelFailed, match="its instance takes no work"):
                await scheduler.infer(ask(1))
        reply = sent(scheduler, ask(2))
        await instance.wait_until_busy()
        instance.finish()
        assert values(await reply) == [2]
        assert scheduler.stats.busy == 0

    play(scene())


def test_work_is_due_when_the_last_of_its_requests_is() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        first = sent(scheduler, ask(0))
        replies = [sent(scheduler, ask(n, deadline=deadline(n))) for n in (4, 9, 2)]
        await settle()
        latest_ns = deadline(9).at_ns
        instance.finish()
        due_ns = instance.works[-1].deadline_ns
        assert due_ns is not None
        assert abs(due_ns - latest_ns) < 1e6
        instance.finish()
        await asyncio.gather(first, *replies)

    play(scene())


def test_closing_answers_everybody_at_once() -> None:
    """Those in execution, those to be tried alone, and those that wait."""

    async def scene() -> None:
        busy, other = puppet(), puppet()
        scheduler = schedule(busy, other, max_batch_size=2)
        replies = [sent(scheduler, ask(n)) for n in range(2)]
        await settle()
        replies += [sent(scheduler, ask(n)) for n in range(2, 9)]
        await settle()
        other.finish()  # takes two of those that wait
        other.finish(ModelFailed("whose fault?"))  # and again, alone
        assert (busy.is_busy, other.is_busy) == (True, True)
        closing = asyncio.create_task(scheduler.close())
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert [type(r) for r in results].count(NotReady) == len(replies) - 1
        assert str(results[-1]) == "'m' version 3 gave no answer: the server is shutting down"
        assert not closing.done()
        assert scheduler.stats.queue_requests == 0
        num_works = len(busy.works) + len(other.works)
        busy.finish()
        other.finish(ModelFailed("too late to matter"))
        await closing
        assert num_works == len(busy.works) + len(other.works)
        assert busy.violations + other.violations == []
        with pytest.raises(NotReady):
            await scheduler.infer(ask(1))

    play(scene())


def test_closing_answers_those_that_are_being_gathered() -> None:
    async def scene() -> None:
        instance = puppet(can_inline=True)
        scheduler = schedule(instance, warm_up_ns=1000)
        now_ns = clock().monotonic_ns()
        waiting = Waiting(
            ask(1),
            1,
            arrived_ns=now_ns,
            deadline_ns=now_ns + 10**9,
            outcome=asyncio.get_running_loop().create_future(),
        )
        reply = asyncio.create_task(scheduler._infer_gathered(waiting))
        await asyncio.sleep(0)
        await scheduler.close()
        with pytest.raises(NotReady):
            await reply
        assert scheduler.stats.queue_requests == 0
        assert instance.works == []

    play(scene())


def test_an_execution_that_ends_after_the_end_starts_nothing() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        reply = sent(scheduler, ask(1))
        await instance.wait_until_busy()
        closing = asyncio.create_task(scheduler.close())
        with pytest.raises(NotReady):
            await reply
        instance.finish(ExecuteResult((Tensor.from_array("x", np.ones((1, 2), np.float32)),)))
        await closing
        assert instance.is_closed
        assert instance.rows == [1]

    play(scene())
