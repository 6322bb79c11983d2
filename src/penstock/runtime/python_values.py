"""Tensors as a Python model sees them, and what it answers as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, MalformedAnswer
from penstock.core.tensor import Array, Tensor, bytes_array, cast_values, object_array
from penstock.runtime.python_signature import Field, StageHints
from penstock.runtime.text_input import read_texts

_FP32 = DType.FP32.numpy


def columns_in(hints: StageHints, inputs: Sequence[Tensor]) -> dict[str, Any]:
    """The arrays of a stage in columns; None where a request left a nullable one out."""
    arrays: dict[str, Any] = {t.name: _to_python(t) for t in inputs}
    for name in hints.nullable.difference(arrays):
        arrays[name] = None
    return arrays


def columns_out(hints: StageHints, answer: Any) -> tuple[Tensor, ...]:
    """The tensors of an answer in columns.

    Raises:
        MalformedAnswer: an output is missing, or its numbers are of another kind than declared.
    """
    if not hints.is_mapping:
        answer = {"output": answer}
    if any(f.spec.name not in answer for f in hints.fields):
        declared = [f.spec.name for f in hints.fields]
        raise MalformedAnswer(f"answered {sorted(answer)}, declared {declared}")
    return tuple(_tensor_out(f, answer[f.spec.name]) for f in hints.fields)


def items_in(hints: StageHints, inputs: Sequence[Tensor]) -> Sequence[Any]:
    """One item per row; an InvalidInput in the place of one that could not be made."""
    fields = {field.spec.name: field for field in hints.fields}
    columns = {t.name: _column_in(fields[t.name], t) for t in inputs}
    make = hints.item_type
    if make is None:
        return next(iter(columns.values()))
    for name in hints.nullable.difference(columns):
        columns[name] = [None] * inputs[0].shape[0]
    names = list(columns)
    return [
        _make_item(index, make, dict(zip(names, row, strict=True)))
        for index, row in enumerate(zip(*columns.values(), strict=True))
    ]


def items_out(hints: StageHints, values: Sequence[Any]) -> tuple[Tensor, ...]:
    """The tensors of an answer in items, one row each.

    Raises:
        MalformedAnswer: the numbers of an output are of another kind than declared.
    """
    if hints.item_type is None:
        return (_column_out(hints.fields[0], list(values)),)
    read = _reader(hints.item_type)
    return tuple(
        _column_out(field, [read(value, field.spec.name) for value in values])
        for field in hints.fields
    )


def _make_item(index: int, make: type, fields: dict[str, Any]) -> Any:
    for value in fields.values():
        if isinstance(value, InvalidInput):
            return value
    try:
        return make(**fields)
    except (ValueError, TypeError) as err:
        return InvalidInput(index, f"{make.__name__}: {err}")


def _column_in(field: Field, tensor: Tensor) -> Sequence[Any]:
    if field.scalar is str:
        return read_texts(tensor.name, tensor.array.tolist())
    if field.scalar is not None:
        values: list[Any] = tensor.array.tolist()
        return values
    return list(_to_python(tensor))


def _column_out(field: Field, values: list[Any]) -> Tensor:
    if field.spec.dtype is DType.BYTES:
        if field.scalar is not None:
            return Tensor(field.spec.name, DType.BYTES, bytes_array(object_array(values)))
    elif field.scalar is not None:
        return _tensor_out(field, values)
    elif not values:
        return _tensor_out(field, np.empty((0, *(max(dim, 0) for dim in field.spec.shape[1:]))))
    return _tensor_out(field, np.stack([np.asarray(value) for value in values]))


def _tensor_out(field: Field, value: Any) -> Tensor:
    spec = field.spec
    if spec.dtype is DType.BYTES:
        return Tensor(spec.name, spec.dtype, bytes_array(np.asarray(value, dtype=object)))
    is_bf16 = spec.dtype is DType.BF16
    array = cast_values(value, _FP32 if is_bf16 else spec.dtype.numpy)
    if array is None:
        came = np.asarray(value).dtype
        raise MalformedAnswer(
            f"output '{spec.name}' is {DType.from_numpy(came) or came}, declared {spec.dtype}"
        )
    return Tensor(spec.name, spec.dtype, _float_to_bf16(array) if is_bf16 else array)


def _to_python(tensor: Tensor) -> Array:
    """BF16 reaches a Python model as float32; everything else as it is."""
    if tensor.dtype is not DType.BF16:
        return tensor.array
    return (tensor.array.astype(np.uint32) << 16).view(np.float32)


def _float_to_bf16(array: Array) -> Array:
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(array), quiet_nan, rounded).astype(np.uint16)


def _reader(item_type: type) -> Callable[[Any, str], Any]:
    if hasattr(item_type, "__required_keys__"):
        return lambda value, name: value[name]
    return getattr
