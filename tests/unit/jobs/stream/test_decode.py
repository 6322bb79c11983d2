"""Values of records become tensors, and what does not fit harms nobody else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.jobs.stream.decode import Decoded, Decoder
from penstock.jobs.stream.record import Record

TEXT = TensorSpec("text", DType.BYTES, (-1,))
X = TensorSpec("x", DType.FP32, (-1, 3))
COUNT = TensorSpec("count", DType.INT64, (-1, 1))
IMAGE = TensorSpec("image", DType.UINT8, (-1, -1, 2))


def signature(*inputs: TensorSpec, batched: bool = True) -> ModelSignature:
    return ModelSignature(inputs, (TensorSpec("y", DType.FP32, (-1,)),), batched)


def decode(
    *values: Any, inputs: tuple[TensorSpec, ...] = (TEXT,), columns: Any = None, own: Any = None
) -> Decoded:
    records = [
        Record("s", "", str(n), v if isinstance(v, bytes) else json.dumps(v).encode())
        for n, v in enumerate(values)
    ]
    return Decoder(columns or {}, own).decode(records, signature(*inputs))


def test_rows_that_are_alike_become_one_group() -> None:
    decoded = decode(
        {"text": "a\0", "x": [1, 2.5, 3], "more": None},
        {"text": "é", "x": [4, 5, 6]},
        inputs=(TEXT, X),
    )
    (group,) = decoded.groups
    assert (list(group.records), list(group.counts)) == ([0, 1], [1, 1])
    text, x = group.inputs
    assert text.array.tolist() == [b"a\0", "é".encode()]
    np.testing.assert_array_equal(x.array, np.array([[1, 2.5, 3], [4, 5, 6]], np.float32))
    assert x.array.dtype == np.float32
    assert not decoded.bad


def test_fields_are_found_by_name_by_path_and_side_by_side() -> None:
    columns = {"text": "user.name", "x": ("a", "b.c", "d")}
    decoded = decode(
        {"user": {"name": "Ann"}, "a": 1, "b": {"c": 2}, "d": 3},
        {"user.name": "Bob", "a": 4, "b.c": 5, "d": 6},
        inputs=(TEXT, X),
        columns=columns,
    )
    (group,) = decoded.groups
    assert group.inputs[0].array.tolist() == [b"Ann", b"Bob"]
    assert group.inputs[1].array.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_one_value_fits_a_list_of_one() -> None:
    (group,) = decode({"count": 3}, {"count": 4}, inputs=(COUNT,)).groups
    assert group.inputs[0].array.tolist() == [[3], [4]]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"{", "its value is not JSON"),
        (b"\xff", "its value is not JSON"),
        (7, "expected a JSON object or a list of objects, got 7"),
        (b"", "its value is empty: expected a JSON object"),
        ([], "got an empty list"),
        ([1], "got a list"),
        ({"txt": "a"}, "field 'text': missing; its fields: txt"),
        ({"text": None}, "field 'text': expected text for the input 'text', got null"),
        ({"text": 5}, "got int: 5"),
        ({"text": ["a"]}, "got list of 1: ['a']"),
    ],
)
def test_what_does_not_fit_is_bad_alone(value: Any, says: str) -> None:
    decoded = decode({"text": "a"}, value, {"text": "b"})
    assert list(decoded.bad) == [1]
    assert says in decoded.bad[1].message
    (group,) = decoded.groups
    assert list(group.records) == [0, 2]
    assert group.inputs[0].array.tolist() == [b"a", b"b"]


@pytest.mark.parametrize(
    "x", [[1, 2], [1, 2, "3"], [1, 2, None], "123", [1, 2, [3]], [[1, 2, 3]], 10**400, True]
)
def test_numbers_that_do_not_fit(x: Any) -> None:
    decoded = decode({"x": [1, 2, 3]}, {"x": x}, inputs=(X,))
    assert list(decoded.bad) == [1]
    assert (
        "field 'x': expected a list of 3 numbers (FP32) for the input 'x'" in decoded.bad[1].message
    )
    assert [list(group.records) for group in decoded.groups] == [[0]]


def test_a_float_is_no_whole_number() -> None:
    decoded = decode({"count": 1.5}, inputs=(COUNT,))
    assert list(decoded.bad) == [0]
    assert "expected a whole number (INT64) for the input 'count'" in decoded.bad[0].message
    lists = decode({"image": 1}, inputs=(IMAGE,)).bad[0].message
    assert "expected lists of whole numbers from 0, any x 2 (UINT8)" in lists


def test_a_record_without_a_value_is_told_as_its_source_tells_it() -> None:
    record = Record("s", "", "1", b"", headers=(("text", b"a"),), no_value="the entry has no field")
    assert Decoder({}).decode([record], signature(TEXT)).bad[0].message == "the entry has no field"
    own = Decoder({}, lambda record: {"text": record.headers[0][1].decode()})  # needs none
    assert not own.decode([record], signature(TEXT)).bad


def test_rows_of_different_shapes_are_different_groups() -> None:
    one, two = [[1, 2]], [[1, 2], [3, 4]]
    decoded = decode({"image": two}, {"image": one}, {"image": two}, inputs=(IMAGE,))
    assert [list(group.records) for group in decoded.groups] == [[0, 2], [1]]
    assert decoded.groups[0].inputs[0].shape == (2, 2, 2)
    assert not decoded.bad


def test_a_record_may_have_several_rows() -> None:
    decoded = decode({"text": "a"}, [{"text": "b"}, {"text": "c"}], [{"text": "d"}])
    (group,) = decoded.groups
    assert list(group.counts) == [1, 2, 1]
    assert group.inputs[0].array.tolist() == [b"a", b"b", b"c", b"d"]
    bad_row = decode([{"text": "a"}, {"text": 1}], {"text": "b"})
    assert list(bad_row.bad) == [0]
    assert bad_row.groups[0].inputs[0].array.tolist() == [b"b"]


def test_an_optional_input_may_be_left_out() -> None:
    factor = TensorSpec("factor", DType.FP32, (-1,), optional=True)
    decoded = decode({"text": "a"}, {"text": "b", "factor": 2}, inputs=(TEXT, factor))
    assert [len(group.inputs) for group in decoded.groups] == [1, 2]
    (group,) = decode({"text": "a"}, inputs=(TEXT, factor)).groups
    assert [tensor.name for tensor in group.inputs] == ["text"]


def test_a_function_of_ones_own_reads_records() -> None:
    def own(record: Record) -> Any:
        if record.value == b"1":
            raise KeyError("no")
        return {"text": record.position} if record.value == b"0" else 17

    decoded = decode(0, 1, 2, own=own)
    assert decoded.groups[0].inputs[0].array.tolist() == [b"0"]
    assert decoded.bad[1].message == "decode raised KeyError: 'no'"
    assert "got 17" in decoded.bad[2].message


def test_columns_and_models_that_do_not_fit_are_errors_of_the_file() -> None:
    with pytest.raises(ConfigError, match="no input 'txet': did you mean 'text'"):
        decode(columns={"txet": "a"})
    with pytest.raises(ConfigError, match="does not batch"):
        Decoder({}).decode((), signature(TEXT, batched=False))
