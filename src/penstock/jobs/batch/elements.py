"""Arrow's values as the elements of a tensor: each one fits, or is told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.core.dtype import DType
from penstock.core.tensor import Array

_SHOWN_CHARS = 40


class Misfits(NamedTuple):
    """Elements that cannot be what they should be.

    Attributes:
        at: their places, ascending; int64.
        whys: for people, of each of them: what was expected, and what came.
    """

    at: Array
    whys: Sequence[str]


class WrongType(Exception):
    """No value of this Arrow type can be an element of this datatype; the text: what can."""


def to_elements(values: pa.Array, dtype: DType) -> Array | Misfits:
    """An Arrow array without nulls as a 1-D numpy array of a datatype.

    Integers become floats, text is parsed as a number, and a float that is whole becomes an
    integer; what is out of range, or is not whole, is a misfit. A view where no bit changes.

    Args:
        values: of a primitive, text or binary type; without nulls.
        dtype: of the elements. BYTES takes text, as UTF-8, and binary; BF16 takes what FP32 takes
            and rounds to the nearest, ties to even.

    Raises:
        WrongType: values of this type are never of this datatype.
    """
    if pa.types.is_null(values.type):
        return np.empty(0, dtype.numpy)
    if dtype is DType.BYTES:
        return _to_bytes(values)
    if _is_text(values.type):
        parsed = _parse(values, dtype)
        if isinstance(parsed, Misfits):
            return parsed
        values = parsed
    if pa.types.is_decimal(values.type):
        whole = _whole_decimals(values, dtype)
        if isinstance(whole, Misfits):
            return whole
        values = whole
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise WrongType("numbers, true or false, or text that can be parsed")
    return _to_numbers(values.to_numpy(zero_copy_only=False), dtype)


def _to_bytes(values: pa.Array) -> Array:
    kind = values.type
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if not (is_binary or _is_text(kind)):
        if not (pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)):
            raise WrongType("text or binary")
        values = values.cast(pa.large_binary())
    elif not is_binary:
        values = values.cast(pa.large_string()).cast(pa.large_binary())
    found: Array = values.to_numpy(zero_copy_only=False)
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _parse(values: pa.Array, dtype: DType) -> pa.Array | Misfits:
    """Text as numbers, or as true and false; spaces around them do not count."""
    kind, what = _parsed_as(dtype)
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        at = np.array(_unparsable(texts, kind, 0), dtype=np.int64)
    shown = [values[int(place)].as_py()[:_SHOWN_CHARS] for place in at]
    return Misfits(at, [f"expected {what}, got text {one!r}" for one in shown])


def _whole_decimals(values: pa.Array, dtype: DType) -> pa.Array | Misfits:
    """Decimals as integers where those are asked for, exactly; else as floats."""
    if dtype is DType.BOOL or dtype.is_float:
        return values.cast(pa.float64())
    kind, what = _parsed_as(dtype)
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        at = np.array(_unparsable(values, kind, 0), dtype=np.int64)
    return Misfits(at, [f"expected {what}, got {values[int(place)]}" for place in at])


def _parsed_as(dtype: DType) -> tuple[pa.DataType, str]:
    if dtype is DType.BOOL:
        return pa.bool_(), "true or false"
    if dtype.is_float:
        return pa.float64(), "a number"
    return (pa.uint64() if dtype is DType.UINT64 else pa.int64()), "a whole number"


def _unparsable(values: pa.Array, kind: pa.DataType, start: int) -> list[int]:
    """Where values are that cannot be cast: halves that can are not looked at further."""
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return [start]
    else:
        return []
    half = len(values) // 2
    left = _unparsable(values[:half], kind, start)
    return left + _unparsable(values[half:], kind, start + half)


def _to_numbers(numbers: Array, dtype: DType) -> Array | Misfits:
    if dtype is DType.BF16:
        found = _to_floats(numbers, np.dtype(np.float32), dtype)
        return found if isinstance(found, Misfits) else float32_to_bf16(found)
    if numbers.dtype == dtype.numpy:
        return numbers
    if dtype.is_float:
        return _to_floats(numbers, dtype.numpy, dtype)
    return _to_whole(numbers, dtype)


def _to_floats(numbers: Array, target: np.dtype[Any], dtype: DType) -> Array | Misfits:
    with np.errstate(over="ignore"):
        floats = numbers.astype(target, copy=False)
    if numbers.dtype.kind == "f" and numbers.dtype.itemsize <= target.itemsize:
        return floats
    beyond = np.isinf(floats)
    if numbers.dtype.kind == "f":
        beyond &= np.isfinite(numbers)
    return _unless(beyond, floats, numbers, f"expected a number within the range of {dtype}")


def _to_whole(numbers: Array, dtype: DType) -> Array | Misfits:
    """Numbers as integers, or as true and false."""
    if numbers.dtype.kind == "b":
        return numbers.astype(dtype.numpy)
    if dtype is DType.BOOL:
        low, high, what = 0, 1, "0 or 1"
    else:
        limits = np.iinfo(dtype.numpy)
        low, high, what = int(limits.min), int(limits.max), f"a whole number that {dtype} holds"
    if numbers.dtype.kind == "f":
        # high + 1 is a power of two, which every float holds exactly; high may not be one
        wide = numbers.astype(np.float64, copy=False)
        fits = (wide >= float(low)) & (wide < float(high + 1)) & (np.floor(wide) == wide)
    else:
        held = np.iinfo(numbers.dtype)
        fits = np.ones(numbers.shape, dtype=bool)
        if held.min < low:
            fits &= numbers >= numbers.dtype.type(low)
        if held.max > high:
            fits &= numbers <= numbers.dtype.type(high)
    with np.errstate(invalid="ignore"):
        whole = numbers.astype(dtype.numpy)
    return _unless(~fits, whole, numbers, f"expected {what}")


def _unless(is_wrong: Array, good: Array, given: Array, expected: str) -> Array | Misfits:
    if not is_wrong.any():
        return good
    at = np.flatnonzero(is_wrong)
    return Misfits(at, [f"{expected}, got {one}" for one in given[at]])


def float32_to_bf16(floats: Array) -> Array:
    """BF16's bit patterns (uint16) that are nearest to floats, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(floats).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    cut = (bits >> 16) | np.where(bits & 0xFFFF, 0x40, 0).astype(np.uint32)
    return np.where(np.isnan(floats), cut, rounded).astype(np.uint16)
