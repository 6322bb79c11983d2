"""Executions: rows to executions and back, refused rows and answers that do not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from penstock.app.jobs.executions import Executions
from penstock.app.jobs.row_rule import RowRule
from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument, InvalidInput, MalformedAnswer
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.repository.manifest import Pad
from penstock.runtime.executable import ExecuteResult
from penstock.scheduler.batch import Tensors
from penstock.scheduler.padding import Padding

ID = ServableId("m", 3)


def signature(*shape: int, out: tuple[int, ...] | None = None, batched: bool) -> ModelSignature:
    x = TensorSpec("x", DType.INT64, shape)
    y = TensorSpec("y", DType.INT64, shape if out is None else out)
    return ModelSignature((x,), (y,), batched)


def rows(*values: object) -> tuple[Tensor, ...]:
    return (Tensor.from_array("x", np.array(values, dtype=np.int64)),)


class Doubler:
    """Doubles, remembers the shapes it was given, and refuses rows that hold a negative number."""

    def __init__(self, *, computes_others: bool = True) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._computes_others = computes_others

    def __call__(self, inputs: Tensors) -> ExecuteResult:
        array = inputs[0].array
        self.shapes.append(array.shape)
        flat = array.reshape(len(array) if array.ndim else 1, -1)
        bad = [int(row) for row in np.flatnonzero((flat < 0).any(axis=1))]
        if not bad:
            return ExecuteResult((Tensor("y", DType.INT64, array * 2),))
        if not self._computes_others:
            return ExecuteResult((), {bad[0]: InvalidInput(bad[0], "negative")})
        left = np.delete(array, bad, axis=0) * 2
        refused = {row: InvalidInput(row, "negative") for row in bad}
        return ExecuteResult((Tensor("y", DType.INT64, left),), refused)


def executions(
    model: ModelSignature,
    run: Callable[[Tensors], ExecuteResult],
    max_batch_size: int | None = None,
    padding: Padding | None = None,
) -> Executions:
    return Executions(ID, RowRule.of(model, max_batch_size), padding, run)


def answer(result: ExecuteResult) -> list[object]:
    values: list[object] = result.outputs[0].array.tolist()
    return values


def test_a_model_that_batches_takes_all_rows_at_once() -> None:
    run = Doubler()
    result = executions(signature(-1, batched=True), run).predict(rows(*range(1000)))
    assert answer(result) == list(range(0, 2000, 2))
    assert run.shapes == [(1000,)]


def test_no_execution_is_larger_than_max_batch_size() -> None:
    run = Doubler()
    result = executions(signature(-1, batched=True), run, 4).predict(rows(*range(10)))
    assert answer(result) == list(range(0, 20, 2))
    assert run.shapes == [(4,), (4,), (2,)]


@pytest.mark.parametrize("max_batch_size", [None, 0])
def test_a_fixed_first_dimension_of_one_is_one_row_an_execution(
    max_batch_size: int | None,
) -> None:
    run = Doubler()
    model = signature(1, 2, batched=False)
    result = executions(model, run, max_batch_size).predict(rows([1, 2], [3, 4]))
    assert answer(result) == [[2, 4], [6, 8]]
    assert run.shapes == [(1, 2), (1, 2)]


def test_a_fixed_first_dimension_is_filled_up_and_cut_off_again() -> None:
    run = Doubler()
    model = signature(4, 1, batched=False)
    one = executions(model, run)
    assert answer(one.predict(rows([1], [2], [3], [4], [5]))) == [[2], [4], [6], [8], [10]]
    assert run.shapes == [(4, 1), (4, 1)]


def test_what_has_no_batch_dimension_is_a_row_as_a_whole() -> None:
    run = Doubler()
    model = signature(4, 1, batched=False)
    result = executions(model, run, 0).predict(rows([[1], [2], [3], [4]], [[5], [6], [7], [8]]))
    assert run.shapes == [(4, 1), (4, 1)]
    assert result.outputs[0].shape == (2, 4, 1)


def test_a_scalar_model_answers_one_value_a_row() -> None:
    run = Doubler()
    assert answer(executions(signature(batched=False), run).predict(rows(1, 2))) == [2, 4]
    assert run.shapes == [(), ()]


@pytest.mark.parametrize("computes_others", [True, False])
@pytest.mark.parametrize(
    ("model", "max_batch_size"),
    [
        (signature(-1, 1, batched=True), None),
        (signature(-1, 1, batched=True), 2),
        (signature(1, 1, batched=False), None),
        (signature(3, 1, batched=False), None),
        (signature(4, 1, batched=False), None),
    ],
)
def test_refused_rows_go_alone(
    model: ModelSignature, max_batch_size: int | None, computes_others: bool
) -> None:
    run = Doubler(computes_others=computes_others)
    one = executions(model, run, max_batch_size)
    result = one.predict(rows([1], [-2], [3], [-4], [-5]))
    assert answer(result) == [[2], [6]]
    assert {row: error.reason for row, error in result.invalid.items()} == dict.fromkeys(
        (1, 3, 4), "negative"
    )


def test_all_rows_refused_leaves_outputs_of_no_rows() -> None:
    one = executions(signature(-1, 2, batched=True), Doubler(computes_others=False))
    result = one.predict(rows([-1, 0], [-2, 0]))
    assert result.outputs[0].shape == (0, 2)
    assert set(result.invalid) == {0, 1}


def test_no_rows_need_no_model() -> None:
    run = Doubler()
    empty = (Tensor("x", DType.INT64, np.empty((0, 2), np.int64)),)
    result = executions(signature(-1, 2, batched=True), run).predict(empty)
    assert result.outputs[0].shape == (0, 2)
    assert run.shapes == []


def test_padding_is_put_on_and_taken_off() -> None:
    run = Doubler()
    model = signature(-1, -1, batched=True)
    padding = Padding.resolve(Pad(axis=1, to_multiple_of=4, value=7), model)
    result = executions(model, run, padding=padding).predict(rows([1, 2, 3], [4, 5, 6]))
    assert run.shapes == [(2, 4)]
    assert answer(result) == [[2, 4, 6], [8, 10, 12]]


def test_inputs_that_do_not_fit_are_told_before_anything_runs() -> None:
    run = Doubler()
    with pytest.raises(InvalidArgument, match="unexpected shape for input 'x'"):
        executions(signature(-1, 2, batched=True), run).predict(rows([1, 2, 3]))
    assert run.shapes == []


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ExecuteResult((Tensor("y", DType.INT64, np.zeros(1, np.int64)),)), "1 rows in output 'y'"),
        (ExecuteResult((Tensor("z", DType.INT64, np.zeros(2, np.int64)),)), "the outputs"),
        (ExecuteResult((), {2: InvalidInput(2, "no")}), "refused row 2 of a batch of 2"),
    ],
)
def test_an_answer_that_does_not_fit_names_the_model(result: ExecuteResult, text: str) -> None:
    one = executions(signature(-1, batched=True), lambda _: result)
    with pytest.raises(MalformedAnswer, match=f"^'m' version 3: .*{text}"):
        one.predict(rows(1, 2))
