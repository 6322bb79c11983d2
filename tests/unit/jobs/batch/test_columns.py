"""Columns of a batch as a model's inputs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, JobInputError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.jobs.batch.columns import ColumnMap


def signature(*specs: TensorSpec, batched: bool = True) -> ModelSignature:
    return ModelSignature(specs, (), batched)


TEXT = TensorSpec("text", DType.BYTES, (-1,))
WIDE = TensorSpec("x", DType.FP32, (-1, 3))
MATRIX = TensorSpec("m", DType.INT32, (-1, 2, 3))
FREE = TensorSpec("ids", DType.INT64, (-1, -1))


def read(spec: TensorSpec, batch: pa.RecordBatch, **mapping: Any) -> tuple[Any, Any]:
    (tensor,), bad = ColumnMap.resolve(signature(spec), mapping).to_tensors(batch)
    return tensor.array, [(row.row, row.error.message) for row in bad]


def batch(**columns: Any) -> pa.RecordBatch:
    arrays = [one if isinstance(one, pa.Array) else pa.array(one) for one in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def test_inputs_take_the_column_of_their_name_or_the_one_they_are_given() -> None:
    columns = ColumnMap.resolve(signature(TEXT, WIDE), {"x": ["a", "b", "c"]})
    assert columns.columns == ("text", "a", "b", "c")
    assert ColumnMap.resolve(signature(TEXT), {"text": "body"}).columns == ("body",)
    again = pickle.loads(pickle.dumps(columns))
    rows = batch(c=[5, 6], b=[3, 4], a=[1, 2], text=["u", "v"])
    (text, x), bad = again.to_tensors(rows)
    assert not bad
    assert (text.name, text.array.tolist()) == ("text", [b"u", b"v"])
    assert (x.dtype, x.array.tolist()) == (DType.FP32, [[1, 3, 5], [2, 4, 6]])


def test_an_optional_input_is_left_out_unless_it_is_named() -> None:
    maybe = TensorSpec("maybe", DType.FP32, (-1,), optional=True)
    assert ColumnMap.resolve(signature(TEXT, maybe), {}).columns == ("text",)
    assert ColumnMap.resolve(signature(TEXT, maybe), {"maybe": "m"}).columns == ("text", "m")


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"txet": "body"}, "columns.txet: .* did you mean 'text'"),
        ({"text": ["a", "b"]}, "columns.text: 2 columns .* the input takes one value"),
        ({"x": ["a", "b"]}, r"columns.x: 2 columns .* \[2\], .* rows of shape \[3\]"),
        ({"x": []}, "columns.x: 0 columns"),
        ({"m": ["a", "b"]}, r"rows of shape \[2,3\]"),
    ],
)
def test_a_mapping_that_cannot_be(mapping: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ColumnMap.resolve(signature(TEXT, WIDE, MATRIX), mapping)


def test_a_model_that_does_not_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not batch"):
        ColumnMap.resolve(signature(TEXT, batched=False), {})


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 3), pa.large_list(pa.float64())]
)
def test_lists_are_rows(kind: pa.DataType) -> None:
    values = pa.array([[9, 9, 9], [1, 2, 3], [4, 5, 6]], kind).slice(1)
    array, bad = read(WIDE, batch(x=values))
    assert not bad
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_fixed_lists_are_not_copied() -> None:
    flat = pa.array(np.arange(12, dtype=np.float32))
    values = pa.FixedSizeListArray.from_arrays(flat, 3)
    array, _ = read(WIDE, batch(x=values.slice(1)))
    assert array.__array_interface__["data"][0] == flat.buffers()[1].address + 12
    assert array.tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.list_(pa.list_(pa.int64())), [[[1, 2, 3], [4, 5, 6]]]),
        (pa.list_(pa.list_(pa.int32(), 3), 2), [[[1, 2, 3], [4, 5, 6]]]),
        (pa.list_(pa.int32()), [[1, 2, 3, 4, 5, 6]]),
    ],
)
def test_matrices_are_nested_lists_or_flat_ones(kind: pa.DataType, values: Any) -> None:
    array, bad = read(MATRIX, batch(m=pa.array(values, kind)))
    assert not bad
    assert array.tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_tensors_of_arrow_keep_their_shape() -> None:
    free = TensorSpec("image", DType.UINT8, (-1, -1, -1, 3))
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    array, bad = read(free, batch(image=column))
    assert not bad
    np.testing.assert_array_equal(array, pixels)
    with pytest.raises(JobInputError, match=r"rows of shape \[2,3\], got of \[4,5,3\]"):
        read(MATRIX, batch(m=column))


def test_one_value_is_a_row_of_one() -> None:
    assert read(TensorSpec("x", DType.FP32, (-1, 1)), batch(x=[1, 2]))[0].shape == (2, 1)
    assert read(TensorSpec("x", DType.FP32, (-1, -1)), batch(x=[1, 2]))[0].shape == (2, 1)


def test_dictionaries_are_what_they_stand_for() -> None:
    array, _ = read(TEXT, batch(text=pa.array(["a", "b", "a"]).dictionary_encode()))
    assert array.tolist() == [b"a", b"b", b"a"]


def test_rows_that_cannot_be_read_are_told_by_their_place() -> None:
    rows = batch(
        a=["1", None, "3", "x", "5", "6"],
        b=[1.0, 2.0, None, 4.0, 5.0, 1e300],
        c=[1, 2, 3, 4, 5, 6],
    )
    array, bad = read(WIDE, rows, x=["a", "b", "c"])
    assert array.tolist() == [[1, 1, 1], [5, 5, 5]]
    assert [row for row, _ in bad] == [1, 2, 3, 5]
    assert dict(bad)[1] == "column 'a': expected a value, got null"
    assert dict(bad)[2] == "column 'b': expected a value, got null"
    assert dict(bad)[3] == "column 'a': expected a number, got text 'x'"
    assert "column 'b': expected a number within the range of FP32" in dict(bad)[5]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float64(), 3)])
def test_lists_with_nulls(kind: pa.DataType) -> None:
    values = pa.array([[1, 2, 3], None, [4, None, 6], [7, 8, 9], [1e300, 1, 1]], kind)
    array, bad = read(WIDE, batch(x=values))
    assert array.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert [row for row, _ in bad] == [1, 2, 4]


def test_lists_of_another_length() -> None:
    array, bad = read(WIDE, batch(x=[[1, 2], [1, 2, 3], [], [4, 5, 6]]))
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert bad[0] == (0, "column 'x': expected a list of 3, got one of 2")
    assert [row for row, _ in bad] == [0, 2]


def test_inner_lists_that_are_wrong_make_their_row_bad() -> None:
    good = [[1, 2, 3], [4, 5, 6]]
    values = [good, [[1, 2, 3], None], good, [[1, 2], [4, 5, 6]], [[1, 2, 3]]]
    array, bad = read(MATRIX, batch(m=values))
    assert array.tolist() == [good, good]
    assert [row for row, _ in bad] == [1, 3, 4]


def test_every_input_has_the_rows_that_are_good_in_all() -> None:
    columns = ColumnMap.resolve(signature(TEXT, WIDE), {})
    rows = batch(text=["a", None, "c"], x=[[1, 2, 3], [1, 2, 3], [1]])
    (text, x), bad = columns.to_tensors(rows)
    assert text.array.tolist() == [b"a"]
    assert x.array.tolist() == [[1, 2, 3]]
    assert [row.row for row in bad] == [1, 2]


def test_a_row_that_is_bad_twice_is_told_of_once() -> None:
    columns = ColumnMap.resolve(signature(TEXT, WIDE), {})
    _, bad = columns.to_tensors(batch(text=["a", None], x=[[1, 2, 3], None]))
    assert [(row.row, row.error.message) for row in bad] == [
        (1, "column 'text': expected a value, got null")
    ]


def test_no_good_row_at_all() -> None:
    array, bad = read(WIDE, batch(x=pa.nulls(3, pa.list_(pa.float32()))))
    assert array.shape == (0, 3)
    assert len(bad) == 3
    for spec, name, shape in (
        (TEXT, "text", (0,)),
        (MATRIX, "m", (0, 2, 3)),
        (FREE, "ids", (0, 0)),
    ):
        array, bad = read(spec, batch(**{name: pa.nulls(2)}))
        assert (array.shape, array.dtype, len(bad)) == (shape, spec.dtype.numpy, 2)


def test_a_free_size_is_that_of_all_rows() -> None:
    array, _ = read(FREE, batch(ids=[[1, 2], [3, 4]]))
    assert array.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(JobInputError, match=r"'ids' .* one length, got lists of 1 to 2; pad"):
        read(FREE, batch(ids=[[1, 2], [3]]))


@pytest.mark.parametrize(
    ("spec", "rows", "told"),
    [
        (TEXT, {"txt": ["a"]}, r"column 'text' \(for input 'text'\): missing, did you mean 'txt'"),
        (TEXT, {"text": [1]}, r"'text' .*BYTES\): expected text or binary, got int64; cast it"),
        (WIDE, {"x": [1.0]}, r"expected lists 1 deep for rows of shape \[3\], got double"),
        (WIDE, {"x": pa.array([[1.0]], pa.list_(pa.float64(), 1))}, "expected lists of 3, got fix"),
        (WIDE, {"x": [[b"a", b"b", b"c"]]}, "expected numbers, .* got binary"),
        (TEXT, {"text": [["a"]]}, "expected one value a row, got list<"),
    ],
)
def test_columns_that_can_never_fit(spec: TensorSpec, rows: Any, told: str) -> None:
    with pytest.raises(JobInputError, match=told) as caught:
        read(spec, batch(**rows))
    assert not caught.value.retryable


def test_two_columns_of_one_name() -> None:
    twice = pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(JobInputError, match="more than once"):
        read(TEXT, twice)


def test_many_rows_side_by_side_are_each_in_their_place() -> None:
    wide = np.arange(3 * 10_001, dtype=np.float32).reshape(10_001, 3)
    columns = {name: pa.array(wide[:, at]) for at, name in enumerate("abc")}
    array, bad = read(WIDE, pa.record_batch(columns), x=["a", "b", "c"])
    assert not bad
    np.testing.assert_array_equal(array, wide)
