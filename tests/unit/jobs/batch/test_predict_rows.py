"""RowPredictor: batches at fixed rows, the bad ones found."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.errors import Cancelled, InvalidArgument, JobInputError, ModelFailed, TooLarge
from penstock.core.tensor import Tensor
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.predict_rows import Predicted, RowPredictor, Rows
from penstock.jobs.predictor import Predictor
from penstock.runtime.executable import ExecuteResult
from penstock.testing.fake_batch import DOUBLING, FakePredictors, numbers_table
from tests.unit.jobs.batch.fake_job import AT_ONCE


def predicted(
    model: Predictor, rows: pa.RecordBatch, stop: threading.Event | None = None
) -> tuple[Predicted, list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []
    columns = ColumnMap.resolve(DOUBLING, {})
    predictor = RowPredictor(model, columns, 8, AT_ONCE, stop or threading.Event())
    outputs = OutputColumns.resolve(DOUBLING, rows.schema, keep=("id",))
    numbers = np.arange(100, 100 + rows.num_rows)
    told = predictor.predict(
        Rows(rows, numbers), outputs, DOUBLING, lambda count, dead: seen.append((count, dead))
    )
    return told, seen


def batch(rows: int) -> pa.RecordBatch:
    return numbers_table(0, rows).to_batches()[0]


def column(answer: Predicted, name: str) -> list[object]:
    return [value for one in answer.batches for value in one[name].to_pylist()]


def test_batches_are_cut_from_the_first_row_on() -> None:
    model = FakePredictors()
    answer, seen = predicted(model.open(), batch(20))
    assert model.batches == [8, 8, 4]
    assert column(answer, "batch_rows") == [8] * 16 + [4] * 4
    assert seen == [(0, 0), (8, 0), (8, 0), (4, 0)]


def test_one_poisoned_row_of_a_batch_is_found_and_the_others_answered() -> None:
    answer, seen = predicted(FakePredictors(poison={3.0, 9.0}).open(), batch(20))
    assert [bad.row for bad in answer.dead] == [103, 109]
    assert column(answer, "id") == [row for row in range(20) if row not in (3, 9)]
    assert column(answer, "y") == [2.0 * row for row in range(20) if row not in (3, 9)]
    assert seen == [(0, 0), (8, 1), (8, 1), (4, 0)]


def test_rows_that_the_model_refuses_within_a_bisected_batch_are_dead_too() -> None:
    model = FakePredictors(poison={3.0}, refused={1.0, 6.0, 7.0})
    answer, _ = predicted(model.open(), batch(8))
    assert [(bad.row, bad.error.message) for bad in answer.dead] == [
        (101, "not that one"),
        (103, "the model choked"),
        (106, "not that one"),
        (107, "not that one"),
    ]
    assert column(answer, "id") == [0, 2, 4, 5]


def test_rows_without_a_value_are_dead_and_the_batches_cut_without_them() -> None:
    rows = pa.RecordBatch.from_pydict({"id": list(range(10)), "x": [None, *map(float, range(9))]})
    model = FakePredictors()
    answer, _ = predicted(model.open(), rows)
    assert model.batches == [8, 1]
    assert [bad.row for bad in answer.dead] == [100]
    assert column(answer, "id") == list(range(1, 10))


def test_the_distribution_is_of_what_was_answered() -> None:
    answer, _ = predicted(FakePredictors(poison={3.0}).open(), batch(20))
    (whole,) = (answer.predictions["y"],)
    assert sum(whole.counts) == 19  # type: ignore[union-attr, arg-type]


def test_no_rows_no_batches() -> None:
    model = FakePredictors()
    answer, _ = predicted(model.open(), batch(3).slice(0, 0))
    assert (column(answer, "id"), list(answer.dead), model.batches) == ([], [], [])


class Moody:
    """Answers with outputs of its mood."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        rows = len(inputs[0].array)
        self.asked.append(rows)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return FakePredictors().open().predict(inputs)

    def close(self) -> None:
        pass


def test_a_batch_that_is_too_large_is_halved() -> None:
    model = Moody(TooLarge("at most 4 rows"))
    answer, _ = predicted(model, batch(8))
    assert model.asked == [8, 4, 4]
    assert column(answer, "id") == list(range(8))
    assert list(answer.dead) == []


def test_a_batch_for_which_there_is_no_memory_even_after_waiting_is_halved() -> None:
    model = Moody(*[MemoryError()] * 3)
    answer, _ = predicted(model, batch(8))
    assert model.asked == [8, 8, 8, 4, 4]
    assert column(answer, "batch_rows") == [4] * 8


def test_an_answer_of_too_few_rows_fails_like_the_model_itself() -> None:
    class Short(Moody):
        def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
            result = super().predict(inputs)
            return ExecuteResult(tuple(one.rows(0, 1) for one in result.outputs))

    answer, _ = predicted(Short(), batch(4))
    assert column(answer, "id") == [
        0,
        1,
        2,
        3,
    ]  # one by one, it answers with as many as it is given
    assert column(answer, "batch_rows") == [1] * 4


def test_a_batch_that_does_not_fit_is_not_blamed_on_a_row() -> None:
    with pytest.raises(JobInputError, match="do not fit the model: two columns"):
        predicted(Moody(InvalidArgument("two columns")), batch(8))


def test_a_row_that_kills_the_model_each_time_is_found() -> None:
    class Deadly(Moody):
        def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
            if (inputs[0].array == 5.0).any():
                raise ModelFailed("gone")
            return super().predict(inputs)

    answer, _ = predicted(Deadly(), batch(8))
    assert [bad.row for bad in answer.dead] == [105]


def test_it_stops_between_two_batches() -> None:
    stop = threading.Event()
    model = FakePredictors(before=lambda rows: stop.set())
    with pytest.raises(Cancelled):
        predicted(model.open(), batch(20), stop)
    assert model.batches == [8]
