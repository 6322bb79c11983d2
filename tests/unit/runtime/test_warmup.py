"""Warm-up: the example and the measurement."""

import pytest

from penstock.core.dtype import DType
from penstock.core.errors import (
    InvalidInput,
    LoadFailed,
    MalformedAnswer,
    ModelFailed,
    NotFound,
    NotReady,
    PenstockError,
)
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Work
from penstock.runtime.warmup import example_inputs, warm_up
from penstock.testing.puppet_instance import PuppetInstance

ID = ServableId("m", 1)
SIGNATURE = ModelSignature(
    (
        TensorSpec("x", DType.FP16, (-1, 3, -1)),
        TensorSpec("text", DType.BYTES, (-1,)),
        TensorSpec("more", DType.INT64, (-1,), optional=True),
    ),
    (),
)


def test_an_example_is_one_row_of_nothing() -> None:
    x, text = example_inputs(SIGNATURE)
    assert (x.dtype, x.shape, x.array.any()) == (DType.FP16, (1, 3, 1), False)
    assert text.array.tolist() == [b""]
    assert SIGNATURE.check("m", (x, text)) == 1


def test_where_all_is_optional_one_input_comes_all_the_same() -> None:
    signature = ModelSignature(SIGNATURE.inputs[2:], ())
    assert [t.name for t in example_inputs(signature)] == ["more"]


def test_each_example_is_run_and_measured() -> None:
    instance = PuppetInstance(can_inline=True)
    example = example_inputs(SIGNATURE)
    assert 0 <= warm_up(ID, instance, [example, example]) < 10**9
    assert len(instance.works) >= 4
    assert instance.works[0] == Work(example, {})
    assert warm_up(ID, instance, []) == 2**62


def test_a_model_that_refuses_the_example_is_warm() -> None:
    instance = PuppetInstance(
        lambda _: ExecuteResult((), {0: InvalidInput(0, "empty")}), can_inline=True
    )
    assert warm_up(ID, instance, [example_inputs(SIGNATURE)]) < 2**62


def test_a_model_that_fails() -> None:
    instance = PuppetInstance(lambda _: ModelFailed("division by zero"), can_inline=True)
    with pytest.raises(LoadFailed) as caught:
        warm_up(ID, instance, [example_inputs(SIGNATURE)])
    assert not caught.value.retryable
    assert caught.value.message == (
        "'m' version 1 failed its warm-up: division by zero. If an example of zeros makes no sense "
        "to it, name a better one under 'warmup' in its model.yaml"
    )


def test_a_model_that_answers_nonsense_needs_no_better_example() -> None:
    error = MalformedAnswer("'m' version 1: output 'y' is FP64, declared INT64")
    instance = PuppetInstance(lambda _: error, can_inline=True)
    with pytest.raises(LoadFailed) as caught:
        warm_up(ID, instance, [example_inputs(SIGNATURE)])
    assert caught.value.message == (
        "'m' version 1 failed its warm-up: output 'y' is FP64, declared INT64"
    )


@pytest.mark.parametrize("error", [NotReady("'other' loads"), NotFound("no 'other' yet")])
def test_another_model_that_does_not_serve_yet_may_later(error: PenstockError) -> None:
    instance = PuppetInstance(lambda _: error, can_inline=True)
    with pytest.raises(LoadFailed) as caught:
        warm_up(ID, instance, [example_inputs(SIGNATURE)])
    assert caught.value.retryable
