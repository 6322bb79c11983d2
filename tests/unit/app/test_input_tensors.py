"""Files -> tensors: formats, matching by name, conversions, refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from penstock.app.cli.input_file import Columns, Plain, V2Request, Values, read_input
from penstock.app.cli.input_tensors import tensors_of
from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, InvalidArgument, LoadFailed
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Tensor

TABLE = (TensorSpec("x", DType.FP32, (-1, 3)),)
PAIR = (
    TensorSpec("age", DType.INT64, (-1,)),
    TensorSpec("name", DType.BYTES, (-1, 1)),
    TensorSpec("note", DType.BYTES, (-1,), optional=True),
)


def tensors(text: str, specs: tuple[TensorSpec, ...], suffix: str = "json") -> list[Any]:
    Path(f"in.{suffix}").write_text(text)
    data = read_input(f"in.{suffix}")
    assert not isinstance(data, V2Request)
    return [t.array.tolist() for t in tensors_of(data, specs)]


def one(value: object, dtype: DType, shape: tuple[int, ...] = (-1,)) -> Tensor:
    data = Columns({"x": value}, None)
    return tensors_of(data, (TensorSpec("x", dtype, shape),))[0]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[[1, 2, 3]]", [[1, 2, 3]]),
        ("[1, 2, 3]", [[1, 2, 3]]),
        ('{"x": [1, 2, 3]}', [[1, 2, 3]]),
        ('{"x": [[1, 2, 3], [4, 5, 6]]}', [[1, 2, 3], [4, 5, 6]]),
        ('[{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]', [[1, 2, 3], [4, 5, 6]]),
        ('{"a": 1, "b": 2, "c": 3}', [[1, 2, 3]]),
        ('[{"a": 1, "b": 2, "c": 3}, {"c": 6, "b": 5, "a": 4}]', [[1, 2, 3], [4, 5, 6]]),
        ('{"a": [1, 4], "b": [2, 5], "c": [3, 6]}', [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_json_for_one_table_like_input(text: str, rows: list[list[float]]) -> None:
    assert tensors(text, TABLE) == [rows]


def test_csv_features_and_inputs_by_name() -> None:
    assert tensors("a,b,c\n1,2,3\n4,5,6\n", TABLE, "csv") == [[[1, 2, 3], [4, 5, 6]]]
    assert tensors("\ufeffname, age\nBo,3\n\nAl,4\n", PAIR, "csv") == [[[b"Bo"], [b"Al"]], [3, 4]]
    assert tensors("name\tage\nBo\t3\n", PAIR, "tsv") == [[[b"Bo"]], [3]]
    assert tensors("0,1,2\n4,5,6\n", TABLE, "csv") == [[[4, 5, 6]]]
    assert tensors('x\n"[1, 2, 3]"\n', TABLE, "csv") == [[[1, 2, 3]]]


def test_one_row_of_several_inputs() -> None:
    assert tensors('{"age": 3, "name": "Bo"}', PAIR) == [[3], [[b"Bo"]]]
    assert tensors('[{"age": 3, "name": "Bo", "note": "!"}]', PAIR) == [[3], [[b"Bo"]], [b"!"]]


@pytest.mark.parametrize(
    ("text", "specs", "said"),
    [
        ('{"age": 3}', PAIR, r"columns without \['name'\]: the inputs are age INT64\[-1\]"),
        ('{"age": 3, "name": "B", "nmae": 1}', PAIR, r"columns with \['nmae'\], which is no input"),
        ("[3]", PAIR, "values need names"),
        ('{"q": 3}', PAIR, r"no column of \['q'\] is an input"),
        ('{"a": 1, "b": 2}', TABLE, "3 columns are expected, got 2"),
        ('{"a": [1, 2], "b": [2], "c": [3]}', TABLE, "differ in length"),
        ('{"a": [[1]], "b": [2], "c": [3]}', TABLE, "column 'a': expected one value per row"),
        ('{"x": [1, 2, 3, 4, 5, 6]}', TABLE, r"got values of shape \[6\]"),
        ('{"x": [[1, 2], [3, 4], [5, 6]]}', TABLE, r"got values of shape \[3, 2\]"),
        ('{"x": [[1, 2, 3], [4, 5]]}', TABLE, "lists of different sizes"),
        ('{"x": [1, [2], 3]}', TABLE, "lists of different sizes"),
        ('[{"x": [1, 2, 3]}, {"y": 1}]', TABLE, r"row 2: expected the names \['x'\], got \['y'\]"),
        ('[{"x": [1, 2, 3]}, 5]', TABLE, "row 2: expected the names"),
        ('{"x": [1, 2, "q"]}', TABLE, "'x', value 3: expected FP32, got 'q'"),
        ('{"x": [1, 2, 1e300]}', TABLE, r"'x', value 3: expected FP32, got 1e\+300"),
    ],
)
def test_what_does_not_fit(text: str, specs: tuple[TensorSpec, ...], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        tensors(text, specs)


@pytest.mark.parametrize(
    ("value", "dtype", "array"),
    [
        (["1", " 2 "], DType.INT64, [1, 2]),
        ([1.0, 2], DType.UINT8, [1, 2]),
        ([True, "false", "1", 0], DType.BOOL, [True, False, True, False]),
        (["a", "ü"], DType.BYTES, [b"a", "ü".encode()]),
        ([1, "2.5", "1e3"], DType.FP64, [1, 2.5, 1000]),
        (2**63 - 1, DType.INT64, [2**63 - 1]),
        ([1.0, -2.5], DType.FP16, [1.0, -2.5]),
        ([1.0, -2.0], DType.BF16, [0x3F80, 0xC000]),
    ],
)
def test_conversions(value: object, dtype: DType, array: list[object]) -> None:
    tensor = one(value, dtype)
    assert tensor.array.dtype == dtype.numpy
    assert tensor.array.tolist() == array


def test_missing_numbers_are_nan() -> None:
    assert np.isnan(one([None, "", "nan"], DType.FP32).array).all()
    assert one([float("nan")], DType.BF16).array.tolist() == [0x7FC0]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, DType.INT64),
        (True, DType.INT64),
        (256, DType.UINT8),
        (-1, DType.UINT8),
        ("", DType.INT64),
        (None, DType.INT64),
        (2, DType.BOOL),
        (None, DType.BOOL),
        (3, DType.BYTES),
        ({"a": 1}, DType.FP32),
        (70000, DType.FP16),
    ],
)
def test_wrong_values(value: object, dtype: DType) -> None:
    with pytest.raises(InvalidArgument, match="'x', value 1: expected"):
        one(value, dtype)


def test_shapes() -> None:
    assert one(5, DType.INT64, (-1, 1)).shape == (1, 1)
    assert one([5, 6], DType.INT64, (-1, 1)).shape == (2, 1)
    assert one([[5, 6]], DType.INT64, (-1, -1)).shape == (1, 2)
    assert one([5, 6], DType.INT64, (-1, -1)).shape == (1, 2)
    assert one(list(range(8)), DType.INT64, (-1, 2, 4)).shape == (1, 2, 4)
    assert one([list(range(8))] * 3, DType.INT64, (-1, 2, 4)).shape == (3, 2, 4)
    assert one([1, 2, 3, 4], DType.INT64, (2, 2)).shape == (2, 2)
    assert one(7, DType.INT64, ()).shape == ()


def test_plain_file_goes_to_a_bytes_input() -> None:
    picture = b"\x89PNG\xff"
    Path("a.png").write_bytes(picture)
    data = read_input("a.png")
    assert data == Plain(picture)
    assert isinstance(data, Plain)
    (tensor,) = tensors_of(data, PAIR)
    assert (tensor.name, tensor.shape, tensor.array.item()) == ("name", (1, 1), picture)
    assert tensors_of(data, PAIR, "note")[0].name == "note"
    with pytest.raises(ConfigError, match="no BYTES input 'age'; the inputs are age INT64"):
        tensors_of(data, PAIR, "age")
    with pytest.raises(InvalidArgument, match="needs a model with a BYTES input"):
        tensors_of(data, TABLE)
    with pytest.raises(InvalidArgument, match="takes more than one value"):
        tensors_of(data, (TensorSpec("t", DType.BYTES, (-1, 2)),))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{"x":\n  ,}', "a.json:2:3: not valid JSON: expecting value"),
        ("a.json", "3", "expected an object, or an array of rows"),
        ("a.json", "[]", "expected an object, or an array of rows"),
        ("a.json", "[" * 100_000, "a.json: not valid JSON"),
        ("a.json", "", "a.json: is empty"),
        ("a.csv", "a,b\n1\n", "a.csv:2: expected 2 values, got 1"),
        ("a.csv", "a,b\n", "a header but no rows"),
        ("a.csv", "a,a\n1,2\n", "two columns of one name"),
        (
            "a.csv",
            "5.1,3.5\n4.9,3.0\n",
            "a.csv:1: the first line must hold column names, got 5.1, 3.5",
        ),
        ("a.csv", 'a\n"1', "a.csv:2: not valid CSV"),
    ],
)
def test_files_that_are_wrong(name: str, text: str, said: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(InvalidArgument, match=said):
        read_input(name)


def test_files_that_are_no_text_or_not_there() -> None:
    Path("a.json").write_bytes(b'{"x": "\xff"}')
    Path("a.csv").write_bytes(b"x\n\xff\n")
    for name in ("a.json", "a.csv"):
        with pytest.raises(InvalidArgument, match="not UTF-8 text"):
            read_input(name)
    with pytest.raises(ConfigError, match=r"no\.json: cannot be read: no such file"):
        read_input("no.json")
    with pytest.raises(ConfigError, match="--format: expected one of json, csv"):
        read_input("a.csv", "xml")


def test_format_beats_the_name() -> None:
    Path("rows.txt").write_text("a\n1\n")
    assert read_input("rows.txt") == Plain(b"a\n1\n")
    assert read_input("rows.txt", "csv") == Columns({"a": ["1"]}, 1)
    Path("v.json").write_text("[1]")
    assert read_input("v.json") == Values([1])
    assert read_input("v.json", "binary") == Plain(b"[1]")


def test_a_written_request_is_left_alone() -> None:
    text = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]})
    Path("v.json").write_text(text)
    assert read_input("v.json") == V2Request(text.encode())
    Path("v.json").write_text('{"inputs": [1, 2]}')
    assert read_input("v.json") == Columns({"inputs": [1, 2]}, None)


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    Path("a.parquet").write_bytes(b"PAR1")
    wanted = r"a.parquet: reading Parquet needs pyarrow: pip install 'penstock\[batch\]'"
    with pytest.raises(LoadFailed, match=wanted):
        read_input("a.parquet")


def test_parquet() -> None:
    parquet.write_table(pyarrow.table({"a": [1, 2], "b": ["x", None]}), "a.parquet")
    assert read_input("a.parquet") == Columns({"a": [1, 2], "b": ["x", None]}, 2)
    Path("a.pq").write_bytes(b"no")
    with pytest.raises(InvalidArgument, match=r"a\.pq: not valid Parquet: .*file size is 2 bytes"):
        read_input("a.pq")
