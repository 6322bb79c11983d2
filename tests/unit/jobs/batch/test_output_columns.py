"""Answers and kept columns as rows of one schema."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, JobInputError, JobOutputError, MalformedAnswer
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.jobs.batch.output_columns import OutputColumns

LABEL = TensorSpec("label", DType.BYTES, (-1, 1))
SCORES = TensorSpec("scores", DType.FP32, (-1, 2))
SIGNATURE = ModelSignature((), (LABEL, SCORES))
INPUT = pa.schema([("id", pa.int64()), ("body", pa.string()), ("label", pa.string())])


def tensors(*labels: bytes) -> tuple[Tensor, Tensor]:
    scores = np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2)
    given = object_array(list(labels)).reshape(-1, 1)
    return Tensor("label", DType.BYTES, given), Tensor("scores", DType.FP32, scores)


def rows(count: int, **columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": list(range(count)), **columns})


def test_kept_columns_then_outputs() -> None:
    columns = OutputColumns.resolve(SIGNATURE, INPUT, ["id"], {"label": "sentiment"})
    again = pickle.loads(pickle.dumps(columns))
    batch = again.to_batch(tensors(b"good", b"\xc3\xa9"), rows(2, body=["x", "y"]))
    assert batch.schema == pa.schema(
        [
            ("id", pa.int64()),
            ("sentiment", pa.string()),
            ("scores", pa.list_(pa.float32(), 2)),
        ]
    )
    assert batch.to_pylist() == [
        {"id": 0, "sentiment": "good", "scores": [0, 1]},
        {"id": 1, "sentiment": "é", "scores": [2, 3]},
    ]


def test_outputs_are_found_by_their_names_and_not_copied() -> None:
    columns = OutputColumns.resolve(SIGNATURE, INPUT)
    label, scores = tensors(b"a")
    batch = columns.to_batch((scores, label), rows(1))
    assert batch.column("label").to_pylist() == ["a"]
    address = batch.column("scores").flatten().buffers()[1].address
    assert address == scores.array.__array_interface__["data"][0]


def test_small_floats_are_written_as_float32() -> None:
    half = TensorSpec("half", DType.FP16, (-1,))
    brain = TensorSpec("brain", DType.BF16, (-1,))
    columns = OutputColumns.resolve(ModelSignature((), (half, brain)), INPUT)
    batch = columns.to_batch(
        (
            Tensor("half", DType.FP16, np.array([0.5], np.float16)),
            Tensor("brain", DType.BF16, np.array([0xC020], np.uint16)),
        ),
        rows(1),
    )
    assert batch.schema.types == [pa.float32(), pa.float32()]
    assert batch.to_pylist() == [{"half": 0.5, "brain": -2.5}]


def test_free_sizes_are_lists_of_any_length() -> None:
    spec = TensorSpec("t", DType.INT32, (-1, 2, -1))
    columns = OutputColumns.resolve(ModelSignature((), (spec,)), INPUT)
    assert columns.schema.field("t").type == pa.list_(pa.list_(pa.int32()), 2)
    for width in (3, 1):
        array = np.arange(2 * 2 * width, dtype=np.int32).reshape(2, 2, width)
        batch = columns.to_batch((Tensor("t", DType.INT32, array),), rows(2))
        assert batch.column("t").to_pylist() == array.tolist()


def test_bytes_that_are_no_text() -> None:
    columns = OutputColumns.resolve(SIGNATURE, INPUT)
    with pytest.raises(JobOutputError, match=r"'label': expected text in UTF-8.*'binary'"):
        columns.to_batch(tensors(b"\xff"), rows(1))
    binary = OutputColumns.resolve(SIGNATURE, INPUT, binary=["label"])
    assert binary.to_batch(tensors(b"\xff"), rows(1)).column("label").to_pylist() == [b"\xff"]


@pytest.mark.parametrize(
    ("told", "keep", "rename", "binary"),
    [
        ("keep: .*'idd': did you mean 'id'", ["idd"], {}, []),
        ("two columns would be called 'label'; rename", ["label"], {}, []),
        ("two columns would be called 'x'", [], {"label": "x", "scores": "x"}, []),
        ("two columns would be called 'id'", ["id", "id"], {}, []),
        ("rename.labels: .*did you mean 'label'", [], {"labels": "x"}, []),
        ("binary: .*'scores'", [], {}, ["scores"]),
    ],
)
def test_names_that_cannot_be(
    told: str, keep: list[str], rename: dict[str, str], binary: list[str]
) -> None:
    with pytest.raises(ConfigError, match=told):
        OutputColumns.resolve(SIGNATURE, INPUT, keep, rename, binary)


def test_an_input_with_two_columns_of_one_name() -> None:
    twice = pa.schema([("id", pa.int64()), ("id", pa.int64())])
    with pytest.raises(ConfigError, match=r"'id': there more than once"):
        OutputColumns.resolve(SIGNATURE, twice, ["id"])


def test_a_name_that_is_both_is_the_outputs() -> None:
    columns = OutputColumns.resolve(SIGNATURE, INPUT, ["label"], {"label": "predicted"})
    assert columns.schema.names == ["label", "predicted", "scores"]
    kept = OutputColumns.resolve(SIGNATURE, INPUT, ["id"], {"id": "key"})
    assert kept.schema.names == ["key", "label", "scores"]


def test_later_rows_are_brought_to_the_first_type_or_refused() -> None:
    columns = OutputColumns.resolve(SIGNATURE, INPUT, ["id"])
    small = pa.RecordBatch.from_pydict({"id": pa.array([7], pa.int8())})
    assert columns.to_batch(tensors(b"a"), small).column("id").type == pa.int64()
    text = pa.RecordBatch.from_pydict({"id": ["seven"]})
    with pytest.raises(JobInputError, match=r"'id'.*expected int64 .*got string"):
        columns.to_batch(tensors(b"a"), text)
    without = pa.RecordBatch.from_pydict({"other": [1]})
    with pytest.raises(JobInputError, match=r"'id'.*expected int64, got rows without it"):
        columns.to_batch(tensors(b"a"), without)


def test_dictionaries_are_written_as_their_values() -> None:
    words = pa.array(["u", "v"]).dictionary_encode()
    kept = pa.RecordBatch.from_arrays([words], names=["w"])
    columns = OutputColumns.resolve(SIGNATURE, kept.schema, ["w"])
    assert columns.to_batch(tensors(b"a", b"b"), kept).column("w").to_pylist() == ["u", "v"]
    assert columns.schema.field("w").type == pa.string()


@pytest.mark.parametrize("given", [tensors(b"a", b"b"), tensors(b"a")[:1]])
def test_answers_that_are_not_those_of_the_rows(given: tuple[Tensor, ...]) -> None:
    columns = OutputColumns.resolve(SIGNATURE, INPUT)
    with pytest.raises(MalformedAnswer, match="expected 1 rows, got"):
        columns.to_batch(given, rows(1))
