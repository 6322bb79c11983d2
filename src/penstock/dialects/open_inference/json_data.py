"""``data`` of an input: JSON numbers, booleans and strings to arrays.

``from_values`` defines what is accepted and how it is refused. ``from_json`` does the same work
straight from the text for the usual forms (a flat list, or numbers nested in any way) and hands
everything else to it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Array, object_array
from penstock.dialects.open_inference import json_text
from penstock.dialects.open_inference.limits import DecodeLimits

# The smallest doubles (and integers) that round to an infinity.
_FLOAT32_END = (2 - 2.0**-24) * 2.0**127
_FLOAT64_END = 2**1024 - 2**970
_RANGES = {
    dtype: (int(np.iinfo(dtype.numpy).min), int(np.iinfo(dtype.numpy).max))
    for dtype in DType
    if dtype.is_integer
}


def _int_decoder(low: int, high: int) -> msgspec.json.Decoder[list[Any]]:
    meta = Meta(ge=low, le=high) if high < 2**63 else Meta(ge=low)
    return msgspec.json.Decoder(list[Annotated[int, meta]])


_DECODERS: dict[DType, msgspec.json.Decoder[list[Any]]] = {
    DType.BOOL: msgspec.json.Decoder(list[bool]),
    DType.BYTES: msgspec.json.Decoder(list[str]),
    DType.FP64: msgspec.json.Decoder(list[float]),
    DType.FP32: msgspec.json.Decoder(
        list[Annotated[float, Meta(gt=-_FLOAT32_END, lt=_FLOAT32_END)]]
    ),
    **{dtype: _int_decoder(low, high) for dtype, (low, high) in _RANGES.items()},
}
_TYPES: dict[DType, tuple[set[type], str]] = {
    DType.BOOL: ({bool}, "true or false"),
    DType.BYTES: ({str}, "a string"),
    DType.FP32: ({int, float}, "a number"),
    DType.FP64: ({int, float}, "a number"),
    **{
        dtype: ({int}, f"an integer from {low} to {high}") for dtype, (low, high) in _RANGES.items()
    },
}


def from_json(
    name: str, dtype: DType, shape: tuple[int, ...], text: bytes, limits: DecodeLimits
) -> Array:
    """Decode the text of ``data``, strict JSON, to an array of this datatype and shape.

    Args:
        name: the input's name, for messages.
        dtype: its datatype.
        shape: its shape, already checked.
        text: flat, or nested in any way that holds the right number of elements in order.
        limits: how deep it may nest.

    Raises:
        InvalidArgument: an element has the wrong type or range, the number of elements differs
            from the shape's, or the datatype has no JSON form.
    """
    decoder = _DECODERS.get(dtype)
    if decoder is None:
        raise _no_json_form(name, dtype)
    try:
        items = decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        flat = _flat_numbers(decoder, dtype, bytes(text), limits)
        if flat is None:
            return from_values(name, dtype, shape, json_text.parse(text, "data"), limits)
        items = flat
    return _array(name, dtype, shape, items)


def from_values(
    name: str, dtype: DType, shape: tuple[int, ...], data: object, limits: DecodeLimits
) -> Array:
    """Make an array of ``data`` that is parsed already, with NaN and infinities as floats.

    Args and raises: as ``from_json``.
    """
    if dtype not in _DECODERS:
        raise _no_json_form(name, dtype)
    items = _flatten(data, limits)
    allowed, expected = _TYPES[dtype]
    if not set(map(type, items)) <= allowed:
        position, item = next((i, v) for i, v in enumerate(items) if type(v) not in allowed)
        raise _bad_element(name, dtype, position, item, expected)
    outside = _first_outside(dtype, items)
    if outside is not None:
        raise _bad_element(name, dtype, outside, items[outside], expected)
    return _array(name, dtype, shape, items)


def _array(name: str, dtype: DType, shape: tuple[int, ...], items: list[Any]) -> Array:
    count = len(items)
    if dtype is DType.BYTES:
        array: Array = object_array([item.encode() for item in items])
    else:
        try:
            array = np.array(items, dtype.numpy)
        except OverflowError:
            position = _first_outside(dtype, items) or 0
            expected = _TYPES[dtype][1]
            raise _bad_element(name, dtype, position, items[position], expected) from None
    if shape == (count,):
        return array
    try:
        return array.reshape(shape)
    except ValueError:
        raise _wrong_count(name, shape, count) from None


def _first_outside(dtype: DType, items: list[Any]) -> int | None:
    """Where the first number stands that is finite and beyond the datatype; None: nowhere."""
    if dtype in _RANGES:
        low, high = _RANGES[dtype]
        return next((i for i, value in enumerate(items) if not low <= value <= high), None)
    if not dtype.is_float:
        return None
    try:
        wide = np.array(items, np.float64)
    except OverflowError:
        return next(i for i, v in enumerate(items) if type(v) is int and abs(v) >= _FLOAT64_END)
    if dtype is DType.FP64:
        return None
    outside = np.isfinite(wide) & (np.abs(wide) >= _FLOAT32_END)
    return int(outside.argmax()) if outside.any() else None


def _flat_numbers(
    decoder: msgspec.json.Decoder[list[Any]], dtype: DType, text: bytes, limits: DecodeLimits
) -> list[Any] | None:
    """Decode nested numbers by dropping the inner brackets of well-formed text.

    Returns None where that is not a flat list of the right type: empty inner lists, strings.
    """
    if dtype is DType.BYTES:
        return None
    if text.count(b"[") > limits.max_nesting and _depth(text) > limits.max_nesting:
        raise json_text.nesting_error(limits.max_nesting)
    try:
        return decoder.decode(b"[" + text.translate(None, b"[]") + b"]")
    except (msgspec.DecodeError, RecursionError):
        return None


def _depth(text: bytes) -> int:
    """The deepest nesting of brackets; brackets inside strings count too."""
    characters = np.frombuffer(text, np.uint8)
    steps = (characters == ord("[")).astype(np.int8)
    steps -= characters == ord("]")
    return int(steps.cumsum(dtype=np.int64).max())


def _flatten(data: object, limits: DecodeLimits) -> list[Any]:
    top = data if isinstance(data, list) else [data]
    if list not in set(map(type, top)):
        return top
    items: list[Any] = []
    stack = [iter(top)]
    while stack:
        for item in stack[-1]:
            if type(item) is list:
                if len(stack) == limits.max_nesting:
                    raise json_text.nesting_error(limits.max_nesting)
                stack.append(iter(item))
                break
            items.append(item)
        else:
            stack.pop()
    return items


def _no_json_form(name: str, dtype: DType) -> InvalidArgument:
    return InvalidArgument(
        f"receiving {dtype} data via JSON is not supported. "
        f"Please use the binary data format for input '{name}'"
    )


def _bad_element(
    name: str, dtype: DType, position: int, item: object, expected: str
) -> InvalidArgument:
    if dtype.is_float and isinstance(item, int | float) and not isinstance(item, bool):
        expected = "a number in range"
    return InvalidArgument(
        f"Unable to parse 'data' of input '{name}': element {position} must be {expected} "
        f"for datatype {dtype}, got {json_text.show(item)}"
    )


def _wrong_count(name: str, shape: tuple[int, ...], count: int) -> InvalidArgument:
    expected = 1
    for dim in shape:
        expected *= dim
    text = (
        "Unable to parse 'data': Shape does not match true shape of 'data' field"
        if count > expected
        else "Failed to parse 'data' field: shape does not match true shape"
    )
    return InvalidArgument(
        f"{text}: input '{name}' of shape {list(shape)} holds {expected} elements, got {count}"
    )
