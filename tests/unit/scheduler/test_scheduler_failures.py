"""What a model does wrong, and whose request pays for it."""

import asyncio

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import (
    InvalidInput,
    ModelFailed,
    PenstockError,
)
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Work

from .playing import (
    ask,
    pairs,
    play,
    puppet,
    schedule,
    sent,
    settle,
    values,
)

WRONG = {
    "rows": (pairs(1, 2), "'m' version 3: the model answered 2 rows in output 'x', expected 1"),
    "name": (
        pairs(1, name="y"),
        "'m' version 3: the model answered the outputs ['y'], expected ['x']",
    ),
    "shape": (
        Tensor("x", DType.FP32, np.zeros((1, 3), np.float32)),
        "'m' version 3: the model answered output 'x' as FP32 [1, 3], expected FP32 [-1, 2]",
    ),
    "rank": (
        Tensor("x", DType.FP32, np.zeros(2, np.float32)),
        "'m' version 3: the model answered output 'x' as FP32 [2], expected FP32 [-1, 2]",
    ),
    "datatype": (
        Tensor("x", DType.INT32, np.zeros((1, 2), np.int32)),
        "'m' version 3: the model answered output 'x' as INT32 [1, 2], expected FP32 [-1, 2]",
    ),
}


def test_an_oversized_request_fails_as_one_and_leaves_nothing_behind() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, max_batch_size=2)
        reply = sent(scheduler, ask(*range(6)))
        await settle()
        instance.finish(ModelFailed("no"))
        with pytest.raises(ModelFailed, match=r"^'m' version 3: no$"):
            await reply
        assert scheduler.stats.queue_requests == 0
        instance.finish()
        assert instance.rows == [2, 2]

    play(scene())


def test_a_refused_row_of_an_oversized_request_is_counted_within_the_request() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, max_batch_size=2)
        reply = sent(scheduler, ask(*range(5)))
        await settle()
        instance.finish()
        await settle()
        instance.finish(ExecuteResult((pairs(2),), {1: InvalidInput(1, "bad")}))
        with pytest.raises(InvalidInput) as caught:
            await reply
        assert (caught.value.index, caught.value.message) == (3, "row 3: bad")
        instance.finish()

    play(scene())


def test_one_bad_row_fails_its_request_alone() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(*rows)) for rows in ([0], [1, 2], [3], [4])]
        await settle()
        instance.finish()
        instance.finish(
            ExecuteResult((pairs(1, 4),), {1: InvalidInput(1, "odd"), 2: InvalidInput(2, "worse")})
        )
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert [str(r) for r in results[1:3]] == ["row 1: odd", "worse"]
        assert isinstance(results[1], InvalidInput)
        assert (results[1].index, values(results[0]), values(results[3])) == (1, [0], [4])
        assert scheduler.stats.outcomes == {"ok": 2, "invalid_argument": 2}

    play(scene())


def test_a_failing_batch_is_tried_again_one_by_one() -> None:
    def answer(work: Work) -> ExecuteResult | PenstockError:
        if 13 in work.inputs[0].array:
            return ModelFailed("unlucky")
        return ExecuteResult(tuple(work.inputs))

    async def scene() -> None:
        instance = puppet(answer=answer)
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(n)) for n in (0, 1, 13, 3)]
        await settle()
        for _ in range(5):
            instance.finish()
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert instance.rows == [1, 3, 1, 1, 1]
        assert str(results[2]) == "'m' version 3: unlucky"
        assert [values(results[i]) for i in (0, 1, 3)] == [[0], [1], [3]]
        assert [work.inputs[0].array[0, 0] for work in instance.works[2:]] == [1, 13, 3]

    play(scene())


def test_a_batch_refused_by_columns_is_tried_again_one_by_one() -> None:
    """A stage on columns that raises InvalidInput has computed nothing."""

    def answer(work: Work) -> ExecuteResult:
        bad = np.flatnonzero(work.inputs[0].array[:, 0] < 0).tolist()
        if bad:
            return ExecuteResult((), {bad[0]: InvalidInput(bad[0], "negative")})
        return ExecuteResult(tuple(work.inputs))

    async def scene() -> None:
        instance = puppet(answer=answer)
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(n)) for n in (0, 1, -2, 3)]
        await settle()
        for _ in range(5):
            instance.finish()
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert isinstance(results[2], InvalidInput)
        assert results[2].message == "negative"
        assert [values(results[i]) for i in (0, 1, 3)] == [[0], [1], [3]]

    play(scene())


@pytest.mark.parametrize("warm_up_ns", [1, 10**9], ids=["inline", "thread"])
@pytest.mark.parametrize("case", list(WRONG))
def test_nonsense_from_the_model(case: str, warm_up_ns: int) -> None:
    tensor, text = WRONG[case]

    async def scene() -> None:
        instance = puppet(answer=lambda _: ExecuteResult((tensor,)), can_inline=True)
        scheduler = schedule(instance, warm_up_ns=warm_up_ns)
        reply = sent(scheduler, ask(1))
        await settle()
        if instance.is_busy:
            instance.finish()
        with pytest.raises(ModelFailed) as caught:
            await reply
        assert caught.value.message == text
        assert scheduler.stats.outcomes == {"model_failed": 1}

    play(scene())


@pytest.mark.parametrize("warm_up_ns", [1, 10**9], ids=["inline", "thread"])
def test_a_refusal_of_a_row_nobody_brought_is_the_models_fault(warm_up_ns: int) -> None:
    async def scene() -> None:
        instance = puppet(
            answer=lambda _: ExecuteResult((), {7: InvalidInput(7, "what?")}), can_inline=True
        )
        scheduler = schedule(instance, warm_up_ns=warm_up_ns)
        reply = sent(scheduler, ask(1, outputs=("x",)))
        await settle()
        if instance.is_busy:
            instance.finish()
        with pytest.raises(
            ModelFailed, match=r"^'m' version 3: the model refused row 7 of a batch of 1 rows$"
        ):
            await reply

    play(scene())


def test_a_fast_model_that_fails() -> None:
    async def scene() -> None:
        scheduler = schedule(
            puppet(answer=lambda _: ModelFailed("no"), can_inline=True), warm_up_ns=1000
        )
        with pytest.raises(ModelFailed, match=r"^'m' version 3: no$"):
            await scheduler.infer(ask(1))
        assert scheduler.stats.outcomes == {"model_failed": 1}

    play(scene())
