"""text_order: texts of like length are predicted together, and written as they were read."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, ModelFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.predict_rows import Predicted, RowPredictor, Rows
from penstock.jobs.batch.text_order import shortest_first, takes_text
from penstock.runtime.executable import ExecuteResult
from tests.unit.jobs.batch.fake_job import AT_ONCE

LENGTHS = ModelSignature(
    inputs=(TensorSpec("text", DType.BYTES, (-1,)),),
    outputs=(TensorSpec("length", DType.INT64, (-1,)),),
)


class LengthModel:
    """Tells how long texts are; keeps what it was given."""

    def __init__(self, poison: bytes = b"?", refused: bytes = b"?") -> None:
        self.given: list[list[bytes]] = []
        self._poison, self._refused = poison, refused

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        texts = inputs[0].array.tolist()
        self.given.append(texts)
        if self._poison in texts:
            raise ModelFailed("choked")
        invalid = {
            at: InvalidInput(at, "no") for at, one in enumerate(texts) if one == self._refused
        }
        lengths = np.array([len(one) for one in texts if one != self._refused], dtype=np.int64)
        return ExecuteResult((Tensor("length", DType.INT64, lengths),), invalid)

    def close(self) -> None:
        """Nothing is held."""


def predicted(model: LengthModel, texts: list[str | None]) -> Predicted:
    rows = pa.RecordBatch.from_pydict({"text": texts, "id": list(range(len(texts)))})
    columns = ColumnMap.resolve(LENGTHS, {})
    predictor = RowPredictor(model, columns, 2, AT_ONCE, threading.Event())
    outputs = OutputColumns.resolve(LENGTHS, rows.schema, keep=("id",))
    numbers = np.arange(100, 100 + len(texts))
    return predictor.predict(Rows(rows, numbers), outputs, LENGTHS, lambda rows, dead: None)


def answers(told: Predicted) -> list[tuple[int, int]]:
    return [(row["id"], row["length"]) for batch in told.batches for row in batch.to_pylist()]


def test_the_shortest_come_first_and_are_written_in_their_place() -> None:
    model = LengthModel()
    told = predicted(model, ["aaaa", "a", "aaa", "bb", "b"])
    assert model.given == [[b"a", b"b"], [b"bb", b"aaa"], [b"aaaa"]]
    assert answers(told) == [(0, 4), (1, 1), (2, 3), (3, 2), (4, 1)]


@pytest.mark.parametrize("word", ["poison", "refused"])
def test_bad_rows_keep_their_numbers(word: str) -> None:
    told = predicted(LengthModel(**{word: b"aaa"}), ["aaaa", None, "a", "aaa", "bb"])
    assert [bad.row for bad in told.dead] == [101, 103]
    assert answers(told) == [(0, 4), (2, 1), (4, 2)]


def test_equal_lengths_stay_as_they_came() -> None:
    texts = np.array([b"bb", b"aa", b"c"], dtype=object)
    assert shortest_first([Tensor("text", DType.BYTES, texts)]).tolist() == [2, 0, 1]


def test_several_texts_of_a_row_count_together() -> None:
    pairs = np.array([[b"bbbb", b""], [b"a", b"a"]], dtype=object)
    numbers = Tensor("x", DType.FP32, np.zeros((2, 3), np.float32))
    assert shortest_first([numbers, Tensor("text", DType.BYTES, pairs)]).tolist() == [1, 0]


def test_only_texts_with_answers_of_one_shape_are_reordered() -> None:
    free = TensorSpec("vectors", DType.FP32, (-1, -1))
    numbers = TensorSpec("x", DType.FP32, (-1, 3))
    assert takes_text(LENGTHS)
    assert not takes_text(ModelSignature(LENGTHS.inputs, (free,)))
    assert not takes_text(ModelSignature((numbers,), LENGTHS.outputs))


def test_no_row_that_fits_is_no_batch_and_all_are_dead() -> None:
    model = LengthModel()

    told = predicted(model, [None, None])

    assert ([one.row for one in told.dead], model.given) == ([100, 101], [])
    wide = Tensor("text", DType.BYTES, np.empty((0, 3), dtype=object))
    assert shortest_first([wide]).tolist() == []
