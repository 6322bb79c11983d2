"""Datatypes and numpy's names for them."""

import numpy as np
import pytest

from penstock.core.dtype import DType

SIZES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
    "BF16": 2,
    "BYTES": 0,
}


def test_sizes() -> None:
    assert {str(d): d.itemsize_bytes for d in DType} == SIZES


@pytest.mark.parametrize("dtype", [d for d in DType if d not in (DType.BF16, DType.BYTES)])
def test_numpy_and_back(dtype: DType) -> None:
    assert DType.from_numpy(dtype.numpy) is dtype
    assert DType.from_numpy(dtype.numpy.newbyteorder(">")) is dtype


@pytest.mark.parametrize("name", ["O", "S3", "U7"])
def test_text_is_bytes(name: str) -> None:
    assert DType.from_numpy(np.dtype(name)) is DType.BYTES


@pytest.mark.parametrize("name", ["c8", "M8[ns]", "m8[s]", "V4", "g"])
def test_what_has_no_datatype(name: str) -> None:
    assert DType.from_numpy(np.dtype(name)) is None


def test_kinds() -> None:
    assert {d for d in DType if d.is_float} == {DType.FP16, DType.FP32, DType.FP64, DType.BF16}
    assert {d for d in DType if d.is_integer} == {d for d in DType if "INT" in d}
    assert DType("BF16").numpy == np.uint16
