"""Merge and split, by example."""

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, ModelFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.scheduler.batch import Member, merge, split

from .playing import PAIRS, pairs

ONE = ModelSignature(PAIRS.inputs, PAIRS.outputs, batched=False)


def test_one_request_is_not_copied() -> None:
    request = (pairs(1),)
    assert merge([request]) is request
    result = ExecuteResult(request)
    assert split(result, [Member(1)], PAIRS)[0] is request


def test_names_decide_not_the_order() -> None:
    a, b = pairs(1, name="a"), pairs(2, name="b")
    merged = merge([(a, b), (b, a)])
    assert [t.name for t in merged] == ["a", "b"]
    assert merged[0].array[:, 0].tolist() == [1, 1]


def test_the_parts_are_views() -> None:
    merged = merge([(pairs(1),), (pairs(2, 3),)])
    first, second = split(ExecuteResult(merged), [Member(1), Member(2)], PAIRS)
    for part in (first, second):
        assert not isinstance(part, InvalidInput)
        assert np.shares_memory(part[0].array, merged[0].array)


def test_refused_rows_are_counted_within_their_request() -> None:
    invalid = {0: InvalidInput(0, "a"), 3: InvalidInput(3, "b"), 4: InvalidInput(4, "c")}
    result = ExecuteResult((pairs(1, 2),), invalid)
    first, second, third = split(result, [Member(1), Member(2), Member(2)], PAIRS)
    assert isinstance(first, InvalidInput)
    assert (first.index, first.message) == (0, "a")
    assert not isinstance(second, InvalidInput)
    assert second[0].array[:, 0].tolist() == [1, 2]
    assert isinstance(third, InvalidInput)
    assert (third.index, third.message) == (0, "row 0: b")


def test_a_part_of_a_request_counts_from_the_requests_first_row() -> None:
    result = ExecuteResult((), {0: InvalidInput(0, "a")})
    (refused,) = split(result, [Member(1, first_row=7)], PAIRS)
    assert isinstance(refused, InvalidInput)
    assert (refused.index, refused.message) == (7, "row 7: a")


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_nobody_brought(row: int) -> None:
    result = ExecuteResult((pairs(1),), {row: InvalidInput(row, "a")})
    with pytest.raises(ModelFailed) as caught:
        split(result, [Member(2)], PAIRS)
    assert caught.value.message == f"the model refused row {row} of a batch of 2 rows"


def test_without_batches_any_refusal_is_the_requests() -> None:
    (refused,) = split(ExecuteResult((), {5: InvalidInput(5, "bad")}), [Member(1)], ONE)
    assert isinstance(refused, InvalidInput)
    assert (refused.index, refused.message) == (0, "bad")


def test_without_batches_the_rows_are_the_models_business() -> None:
    outputs = (pairs(1, 2, 3),)
    assert split(ExecuteResult(outputs), [Member(1)], ONE) == [outputs]


def test_a_scalar_where_rows_were_promised() -> None:
    scalar = Tensor("x", DType.FP32, np.array(1, np.float32))
    with pytest.raises(ModelFailed) as caught:
        split(ExecuteResult((scalar,)), [Member(1)], PAIRS)
    assert caught.value.message == (
        "the model answered output 'x' as FP32 [], expected FP32 [-1, 2]"
    )


def test_an_output_in_the_wrong_place() -> None:
    y = TensorSpec("y", DType.FP32, (-1, 2))
    signature = ModelSignature(PAIRS.inputs, (*PAIRS.outputs, y))
    result = ExecuteResult((pairs(1, name="y"), pairs(1)))
    with pytest.raises(ModelFailed) as caught:
        split(result, [Member(1)], signature)
    assert caught.value.message == "the model answered the outputs ['y', 'x'], expected ['x', 'y']"
