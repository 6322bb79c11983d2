"""Fields of rows become tensors: many rows at once where they are alike, else row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor, bytes_array, cast_values, object_array

Row: TypeAlias = dict[str, Any]
"""Fields to values, as JSON has them."""

_KINDS: Final = {
    "O": ("text", "texts"),
    "b": ("true or false", "values, true or false"),
    "i": ("a whole number", "whole numbers"),
    "u": ("a whole number from 0", "whole numbers from 0"),
}
"""By numpy's kind: one, and many."""


def read_column(rows: Sequence[Row], spec: TensorSpec, fields: Sequence[str]) -> Tensor | None:
    """One input of all rows at once.

    Args:
        rows: at least one.
        spec: what the model wants.
        fields: the field it is in, or several side by side; ``a.b``: the field b of the field a,
            unless a field is called so.

    Returns:
        a tensor ``[rows, ...]``; None: a row lacks the field, or does not fit.
    """
    try:
        values = _values(rows, fields)
        array = _array(values, spec)
    except (InvalidArgument, ValueError, OverflowError):
        return None
    return None if array is None else Tensor(spec.name, spec.dtype, array)


def row_tensors(
    rows: Sequence[Row], signature: ModelSignature, columns: Mapping[str, Sequence[str]]
) -> tuple[Tensor, ...]:
    """The inputs of one record's rows.

    Args:
        rows: at least one.
        signature: what the model wants.
        columns: fields by input; by its own name where an input is not there.

    Raises:
        InvalidArgument: a field is missing or does not fit; says which, what was expected and
            what came.
    """
    tensors = []
    for spec in signature.inputs:
        fields = columns.get(spec.name, (spec.name,))
        if spec.optional and not any(fields[0] in row for row in rows):
            continue
        values = _values(rows, fields)
        try:
            array = _array(values, spec)
        except (InvalidArgument, ValueError, OverflowError):
            array = None
        if array is None:
            raise InvalidArgument(
                f"field {_told(fields)}: expected {_wanted(spec)} for the input '{spec.name}', "
                f"got {_shown(values)}"
            )
        tensors.append(Tensor(spec.name, spec.dtype, array))
    return tuple(tensors)


def _values(rows: Sequence[Row], fields: Sequence[str]) -> list[Any]:
    """One value of each row.

    Raises:
        InvalidArgument: a row lacks a field.
    """
    try:
        if len(fields) == 1:
            name = fields[0]
            return [row[name] for row in rows]
        return [[row[name] for name in fields] for row in rows]
    except KeyError:
        pass
    listed = [[_at(row, name) for name in fields] for row in rows]
    return listed if len(fields) > 1 else [values[0] for values in listed]


def _at(row: Row, path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = ", ".join(map(str, list(row)[:10])) or "none"
            raise InvalidArgument(f"field '{path}': missing; its fields: {known}")
        value = value[part]
    return value


def _array(values: list[Any], spec: TensorSpec) -> Array | None:
    """Values as an array that fits; None: they do not.

    Raises:
        InvalidArgument, ValueError, OverflowError: they do not, either.
    """
    if spec.dtype is DType.BF16:
        raise InvalidArgument("BF16 has no form in JSON")
    array: Array | None
    if spec.dtype is DType.BYTES:
        if all(type(value) is str for value in values):
            array = object_array([value.encode() for value in values])
        else:
            array = bytes_array(_nested(values))
    else:
        array = cast_values(values, spec.dtype.numpy)
    if array is None:
        return None
    if array.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] in (1, -1):
        array = array.reshape(-1, 1)  # one value where the model wants a list of one
    return array if spec.accepts(array.shape) else None


def _nested(values: list[Any]) -> Array:
    """Lists of text as an array of objects: numpy's own text drops zeros at the end."""
    return np.array(values, dtype=object)


def _wanted(spec: TensorSpec) -> str:
    """What one row has to have, in words: ``a list of 3 numbers (FP32)``."""
    kind, shape = spec.dtype.numpy.kind, spec.shape[1:]
    one, many = _KINDS.get(kind, ("a number", "numbers"))
    if not shape or shape == (1,):
        words = one
    elif len(shape) == 1:
        words = f"a list of {shape[0]} {many}" if shape[0] > 0 else f"a list of {many}"
    else:
        sides = " x ".join("any" if side < 0 else str(side) for side in shape)
        words = f"lists of {many}, {sides}"
    return words if spec.dtype is DType.BYTES else f"{words} ({spec.dtype})"


def _told(fields: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in fields)


def _shown(values: Sequence[Any]) -> str:
    value = values[0] if len(values) == 1 else list(values)
    if value is None:
        return "null"
    kind = type(value).__name__
    length = f" of {len(value)}" if isinstance(value, list) else ""
    return f"{kind}{length}: {repr(value)[:60]}"
