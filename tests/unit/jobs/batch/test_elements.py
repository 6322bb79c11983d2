"""One value at a time: what an Arrow value becomes, and what never fits."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.dtype import DType
from penstock.jobs.batch.elements import Misfits, WrongType, to_elements


@pytest.mark.parametrize(
    ("values", "kind", "dtype", "expected"),
    [
        ([1, 2], pa.int32(), DType.FP32, [1.0, 2.0]),
        ([1, 2], pa.int64(), DType.INT8, [1, 2]),
        ([3.0, -4.0], pa.float64(), DType.INT16, [3, -4]),
        ([True, False], pa.bool_(), DType.FP64, [1.0, 0.0]),
        ([0, 1], pa.int8(), DType.BOOL, [False, True]),
        ([0.5], pa.float64(), DType.FP16, [0.5]),
        ([1.5], pa.float16(), DType.FP32, [1.5]),
        ([1.0, -2.5], pa.float64(), DType.BF16, [0x3F80, 0xC020]),
        ([1.00390625, 1.01171875], pa.float32(), DType.BF16, [0x3F80, 0x3F82]),  # ties to even
        ([" 1.5 ", "-2e3", "inf"], pa.string(), DType.FP32, [1.5, -2000.0, np.inf]),
        (["18446744073709551615"], pa.large_string(), DType.UINT64, [2**64 - 1]),
        (["-9223372036854775808"], pa.string_view(), DType.INT64, [-(2**63)]),
        (["true", "0"], pa.string(), DType.BOOL, [True, False]),
        ([decimal.Decimal("1.25")], pa.decimal128(5, 2), DType.FP32, [1.25]),
        ([decimal.Decimal(2**53 + 1)], pa.decimal128(20), DType.INT64, [2**53 + 1]),
        ([decimal.Decimal(2**64 - 1)], pa.decimal256(40), DType.UINT64, [2**64 - 1]),
        ([decimal.Decimal("3.0")], pa.decimal128(5, 1), DType.INT8, [3]),
        ([decimal.Decimal(1)], pa.decimal128(5), DType.BOOL, [True]),
        (["é", ""], pa.string(), DType.BYTES, ["é".encode(), b""]),
        (["é"], pa.large_string(), DType.BYTES, ["é".encode()]),
        (["é"], pa.string_view(), DType.BYTES, ["é".encode()]),
        ([b"\xff"], pa.binary(), DType.BYTES, [b"\xff"]),
        ([b"ab"], pa.binary(2), DType.BYTES, [b"ab"]),
        ([b"\xff"], pa.binary_view(), DType.BYTES, [b"\xff"]),
        ([2**63], pa.uint64(), DType.UINT64, [2**63]),
        ([-(2.0**63)], pa.float64(), DType.INT64, [-(2**63)]),
        ([np.inf, np.nan], pa.float64(), DType.FP32, [np.inf, np.nan]),
    ],
)
def test_what_values_become(
    values: list[Any], kind: pa.DataType, dtype: DType, expected: list[Any]
) -> None:
    found = to_elements(pa.array(values, kind), dtype)
    assert isinstance(found, np.ndarray)
    assert found.dtype == dtype.numpy
    np.testing.assert_array_equal(found, np.array(expected, dtype.numpy))


@pytest.mark.parametrize(
    ("values", "kind", "dtype", "at", "got"),
    [
        ([1, 300, -1, 5], pa.int64(), DType.UINT8, [1, 2], "got 300"),
        ([2**63], pa.uint64(), DType.INT64, [0], "got 9223372036854775808"),
        ([-1], pa.int8(), DType.UINT64, [0], "got -1"),
        ([1.0, 1.5, np.nan], pa.float64(), DType.INT32, [1, 2], "got 1.5"),
        ([2.0**63], pa.float64(), DType.INT64, [0], "got 9.22"),
        ([2.0**64], pa.float64(), DType.UINT64, [0], "got 1.84"),
        ([np.inf], pa.float32(), DType.INT32, [0], "got inf"),
        ([2, 1], pa.int64(), DType.BOOL, [0], "expected 0 or 1, got 2"),
        ([1e300, 1.0], pa.float64(), DType.FP32, [0], "range of FP32, got 1e+300"),
        ([70_000], pa.int32(), DType.FP16, [0], "range of FP16, got 70000"),
        ([1e39], pa.float64(), DType.BF16, [0], "range of BF16"),
        (["1", "x", "", "2", "1_0"], pa.string(), DType.FP32, [1, 2, 4], "number, got text 'x'"),
        (["1", "2.0"], pa.string(), DType.INT64, [1], "a whole number, got text '2.0'"),
        (["maybe"], pa.string(), DType.BOOL, [0], "true or false"),
        (["300"], pa.string(), DType.INT8, [0], "a whole number that INT8 holds, got 300"),
        (
            [decimal.Decimal(text) for text in ("1.0", "1.5", "2.0")],
            pa.decimal128(5, 1),
            DType.INT64,
            [1],
            "a whole number, got 1.5",
        ),
        ([decimal.Decimal(2**64)], pa.decimal128(20), DType.UINT64, [0], "number, got 1844674"),
    ],
)
def test_values_that_do_not_fit_are_told_of(
    values: list[Any], kind: pa.DataType, dtype: DType, at: list[int], got: str
) -> None:
    found = to_elements(pa.array(values, kind), dtype)
    assert isinstance(found, Misfits)
    assert found.at.tolist() == at
    assert got in found.whys[0]
    assert len(found.whys) == len(at)


def test_each_misfit_is_told_with_its_own_value() -> None:
    texts = to_elements(pa.array(["1", "n/k", ""]), DType.FP32)
    numbers = to_elements(pa.array([300, 1, -1]), DType.UINT8)
    assert isinstance(texts, Misfits)
    assert isinstance(numbers, Misfits)
    assert [why.partition(", ")[2] for why in texts.whys] == ["got text 'n/k'", "got text ''"]
    assert [why.partition(", ")[2] for why in numbers.whys] == ["got 300", "got -1"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pa.array([1]), DType.BYTES),
        (pa.array([b"1"]), DType.FP32),
        (pa.array([datetime.date(2020, 1, 1)]), DType.INT64),
        (pa.array([{"a": 1}]), DType.FP32),
        (pa.array([[1]]), DType.BYTES),
    ],
)
def test_types_that_never_fit(values: pa.Array, dtype: DType) -> None:
    with pytest.raises(WrongType):
        to_elements(values, dtype)


@pytest.mark.parametrize("dtype", [d for d in DType if d.numpy.kind in "iuf" and d != DType.BF16])
def test_nothing_is_copied_where_no_bit_changes(dtype: DType) -> None:
    values = pa.array(np.arange(8).astype(dtype.numpy))
    found = to_elements(values.slice(2), dtype)
    assert isinstance(found, np.ndarray)
    start = values.buffers()[1].address + 2 * dtype.itemsize_bytes
    assert found.__array_interface__["data"][0] == start
