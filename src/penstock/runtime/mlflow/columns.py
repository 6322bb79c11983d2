"""Tensors to what an MLflow model takes, and what it answers to tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, MalformedAnswer
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, bytes_array, cast_values, object_array
from penstock.runtime.mlflow.field import Field, tensor_field

_READERS: Mapping[str, tuple[Callable[[bytes], Any], str]] = {
    "string": (bytes.decode, "UTF-8 text"),
    "str": (bytes.decode, "UTF-8 text"),
    "object": (bytes.decode, "UTF-8 text"),
    "datetime": (lambda item: pd.Timestamp(item.decode()), "a date and time as ISO 8601"),
    "json": (json.loads, "JSON"),
}


def read_rows(
    fields: Sequence[Field], inputs: Mapping[str, Tensor]
) -> tuple[dict[str, Array], dict[int, InvalidInput]]:
    """The inputs' elements as Python knows them, without the rows that are refused.

    Args:
        fields: the model's inputs.
        inputs: those that came, by the wire's name.

    Returns:
        an array for each input that came, and the rows that are none of their type.
    """
    invalid: dict[int, InvalidInput] = {}
    arrays = {}
    for field in fields:
        if field.spec.name in inputs:
            array = inputs[field.spec.name].array
            arrays[field.spec.name] = _read(field, array, invalid)
    if not invalid:
        return arrays, invalid
    rows = len(next(iter(arrays.values())))
    kept = [row for row in range(rows) if row not in invalid]
    return {name: array[kept] for name, array in arrays.items()}, invalid


def _read(field: Field, array: Array, invalid: dict[int, InvalidInput]) -> Array:
    reader = _READERS.get(field.element)
    if field.spec.dtype is not DType.BYTES or reader is None:
        return array
    read, expected = reader
    flat = object_array([None] * array.size)
    per_row = array.size // len(array) if array.ndim and len(array) else 1
    for i, item in enumerate(array.reshape(-1).tolist()):
        try:
            flat[i] = read(item)
        except ValueError:
            row = i // per_row
            reason = f"input '{field.spec.name}': expected {expected}, got {item[:40]!r}"
            invalid.setdefault(row, InvalidInput(row, reason))
    return flat.reshape(array.shape)


def to_model(fields: Sequence[Field], arrays: Mapping[str, Array]) -> Any:
    """What ``predict`` takes: an array, arrays by name, or a table."""
    if fields[0].is_tensor:
        named = {f.column: _as_tensor(f, arrays[f.spec.name]) for f in fields}
        return named.get(None, named)
    present = [field for field in fields if field.spec.name in arrays]
    columns = [_as_column(arrays[field.spec.name]) for field in present]
    table = pd.DataFrame(dict(enumerate(columns)))  # of arrays: joining Series takes much longer
    table.columns = (
        pd.RangeIndex(len(columns))
        if present[0].column is None
        else pd.Index([field.column for field in present])
    )
    return table


def _as_tensor(field: Field, array: Array) -> Array:
    return array.astype(np.str_) if field.element == "str" else array


def _as_column(array: Array) -> Array:
    return array if array.ndim == 1 else object_array(list(array))


def to_tensors(fields: Sequence[Field], answer: Any) -> tuple[Tensor, ...]:
    """A model's answer as the tensors that its signature promises.

    Raises:
        MalformedAnswer: one is missing, or its elements are of another kind.
    """
    if _is_records(answer):
        answer = pd.DataFrame(answer)
    return tuple(_write(field, _part(i, field, fields, answer)) for i, field in enumerate(fields))


def _is_records(answer: Any) -> bool:
    return isinstance(answer, list) and bool(answer) and isinstance(answer[0], dict)


def _part(i: int, field: Field, fields: Sequence[Field], answer: Any) -> Any:
    """The part of an answer that is one output."""
    if isinstance(answer, pd.DataFrame):
        if field.column in answer.columns:
            return answer[field.column]
        if field.is_tensor and len(fields) == 1:
            return answer.to_numpy()
        if answer.shape[1] == len(fields):
            return answer.iloc[:, i]
    elif isinstance(answer, dict):
        if field.column in answer:
            return answer[field.column]
        if len(answer) == len(fields) == 1:
            return next(iter(answer.values()))
    elif len(fields) == 1:
        return answer
    elif isinstance(answer, np.ndarray) and answer.ndim == 2 and answer.shape[1] == len(fields):
        return answer[:, i]
    raise MalformedAnswer(
        f"the model answered with {_describe(answer)}, where its signature has the outputs "
        f"{[f.spec.name for f in fields]}"
    )


def _write(field: Field, values: Any) -> Tensor:
    spec = field.spec
    if spec.dtype is DType.BYTES:
        array = _as_objects(values, len(spec.shape))
        texts = object_array([_as_text(field, item) for item in array.reshape(-1).tolist()])
        return _shaped(spec, bytes_array(texts).reshape(array.shape))
    plain = np.asarray(values)
    if plain.dtype == object:
        plain = np.array([np.asarray(item) for item in plain.tolist()])
    cast = cast_values(plain if plain.size else plain.tolist(), spec.dtype.numpy)
    if cast is None:
        raise MalformedAnswer(f"output '{spec.name}' is {plain.dtype}, declared {spec.dtype}")
    return _shaped(spec, cast)


def _as_objects(values: Any, ndim: int) -> Array:
    if ndim == 1 and not isinstance(values, np.ndarray):
        return object_array(list(values))  # an item may be a list itself
    return np.asarray(values, dtype=object)


def _as_text(field: Field, item: Any) -> str | bytes:
    if isinstance(item, str | bytes) and field.element != "json":
        return item
    if field.element == "datetime":
        return str(pd.Timestamp(item).isoformat())
    return json.dumps(item, default=_plain)


def _plain(item: Any) -> Any:
    """What JSON has no type for: arrays and numpy's numbers, else text."""
    return item.tolist() if hasattr(item, "tolist") else str(item)


def _shaped(spec: TensorSpec, array: Array) -> Tensor:
    """The array, ``[rows]`` for ``[rows, 1]`` and the other way round where that fits."""
    tail = spec.shape[1:]
    if not spec.accepts(array.shape) and -1 not in tail and array.ndim:
        wanted = (len(array), *tail)
        if array.size == int(np.prod(wanted)):
            array = array.reshape(wanted)
    return Tensor(spec.name, spec.dtype, array)


def fields_of(answer: Any) -> tuple[Field, ...]:
    """The outputs of a model whose signature names none, seen from one answer.

    Raises:
        MalformedAnswer: no tensor holds it.
    """
    if _is_records(answer):
        answer = pd.DataFrame(answer)
    if isinstance(answer, pd.DataFrame):
        return tuple(_seen(str(name), answer[name], str(name)) for name in answer.columns)
    if isinstance(answer, dict):
        return tuple(_seen(str(name), value, str(name)) for name, value in answer.items())
    return (_seen("predictions", answer, None),)


def _seen(name: str, values: Any, column: str | None) -> Field:
    array = np.asarray(values)
    if array.ndim == 0:
        raise MalformedAnswer(f"the model answered with {_describe(values)}, which has no rows")
    if array.dtype.kind == "M":
        spec = TensorSpec(name, DType.BYTES, (-1,), description="ISO 8601 text")
        return Field(column, "datetime", False, spec)
    if array.dtype == object and not all(isinstance(v, str | bytes) for v in array.reshape(-1)):
        return Field(column, "json", False, TensorSpec(name, DType.BYTES, (-1,)))
    dtype = DType.from_numpy(array.dtype)
    if dtype is None:
        raise MalformedAnswer(f"no Open Inference datatype holds output '{name}', {array.dtype}")
    spec = TensorSpec(name, dtype, (-1, *array.shape[1:]))
    return tensor_field(spec, is_named=column is not None)


def _describe(answer: Any) -> str:
    if isinstance(answer, pd.DataFrame):
        return f"a table of {[str(name) for name in answer.columns]}"
    if isinstance(answer, dict):
        return f"a dictionary of {sorted(map(str, answer))}"
    if isinstance(answer, np.ndarray):
        return f"an array {list(answer.shape)}"
    return f"a {type(answer).__name__}"
