"""Tensors of every datatype, with the values that break codecs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor, object_array

JSON_DTYPES = [dtype for dtype in DType if dtype not in (DType.FP16, DType.BF16)]
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
names = st.text(min_size=1, max_size=8)


@st.composite
def raw_tensors(draw: st.DrawFn, name: str) -> Tensor:
    """Any bits: every NaN, every byte string."""
    dtype = draw(st.sampled_from(list(DType)))
    shape = draw(shapes)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype is DType.BYTES:
        items = draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))
        return Tensor(name, dtype, object_array(items).reshape(shape))
    size = count * dtype.itemsize_bytes
    bits = draw(st.binary(min_size=size, max_size=size))
    if dtype is DType.BOOL:
        bits = bytes(byte & 1 for byte in bits)
    return Tensor(name, dtype, np.frombuffer(bits, dtype.numpy).reshape(shape))


@st.composite
def json_tensors(draw: st.DrawFn, name: str) -> Tensor:
    """What JSON can carry: one kind of NaN, BYTES that are UTF-8."""
    dtype = draw(st.sampled_from(JSON_DTYPES))
    shape = draw(shapes)
    count = int(np.prod(shape, dtype=np.int64))
    items = draw(st.lists(_elements(dtype), min_size=count, max_size=count))
    if dtype is DType.BYTES:
        return Tensor(name, dtype, object_array([item.encode() for item in items]).reshape(shape))
    return Tensor(name, dtype, np.array(items, dtype.numpy).reshape(shape))


def _elements(dtype: DType) -> st.SearchStrategy[Any]:
    if dtype is DType.BOOL:
        return st.booleans()
    if dtype is DType.BYTES:
        words = st.sampled_from(["", "null", "NaN", "Infinity", "[1]", "\0", '"\\'])
        return words | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return st.sampled_from([int(info.min), int(info.max)]) | st.integers(
            int(info.min), int(info.max)
        )
    width = 32 if dtype is DType.FP32 else 64
    special = st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 0.0])
    return special | st.floats(width=width, allow_nan=False)


def several(one: Any) -> st.SearchStrategy[tuple[Tensor, ...]]:
    """A few tensors of different names."""
    return st.lists(st.sampled_from("abcdef"), max_size=3, unique=True).flatmap(
        lambda chosen: st.tuples(*[one(name) for name in chosen])
    )
