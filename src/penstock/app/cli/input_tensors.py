"""Rows and columns of a file -> the tensors a model's metadata asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.app.cli.input_file import Columns, Plain, Values
from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, InvalidArgument
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, object_array

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def tensors_of(
    data: Values | Columns | Plain, specs: Sequence[TensorSpec], tensor: str = ""
) -> list[Tensor]:
    """Match a file with a model's inputs, by name where there are names.

    Args:
        data: what the file holds.
        specs: the model's inputs.
        tensor: the input that plain bytes go to; "": the first of BYTES.

    Raises:
        InvalidArgument: a name, a value or a size does not fit; names it and what is expected.
        ConfigError: there is no BYTES input of the name ``tensor``.
    """
    if isinstance(data, Plain):
        return [_plain(data, specs, tensor)]
    if isinstance(data, Values):
        return [_tensor(data.values, _only(specs), None)]
    by_name = {spec.name: spec for spec in specs}
    if any(name in by_name for name in data.columns):
        _check_names(data.columns, specs)
        return [_tensor(v, by_name[name], data.rows) for name, v in data.columns.items()]
    return [_features(data, specs)]


def _plain(data: Plain, specs: Sequence[TensorSpec], name: str) -> Tensor:
    fitting = [spec for spec in specs if spec.dtype is DType.BYTES]
    if name:
        fitting = [spec for spec in fitting if spec.name == name]
        if not fitting:
            raise ConfigError(f"--tensor: no BYTES input '{name}'; the inputs are {_told(specs)}")
    if not fitting:
        raise InvalidArgument(
            "a file as it is needs a model with a BYTES input; give JSON, CSV or Parquet: "
            f"the inputs are {_told(specs)}"
        )
    spec = fitting[0]
    if not spec.accepts((1,) * len(spec.shape)):
        raise InvalidArgument(f"input {_told([spec])} takes more than one value: give JSON")
    return Tensor(
        spec.name, spec.dtype, object_array([data.content]).reshape((1,) * len(spec.shape))
    )


def _only(specs: Sequence[TensorSpec]) -> TensorSpec:
    required = [spec for spec in specs if not spec.optional] or list(specs)
    if len(required) != 1:
        raise InvalidArgument(f"values need names: the inputs are {_told(specs)}")
    return required[0]


def _check_names(names: Mapping[str, Any], specs: Sequence[TensorSpec]) -> None:
    known = {spec.name for spec in specs}
    missing = [spec.name for spec in specs if not spec.optional and spec.name not in names]
    surplus = [name for name in names if name not in known]
    if missing or surplus:
        said = f"without {missing}" if missing else f"with {surplus}, which is no input"
        raise InvalidArgument(f"columns {said}: the inputs are {_told(specs)}")


def _features(data: Columns, specs: Sequence[TensorSpec]) -> Tensor:
    """All columns as the features of a model with one table-like input."""
    required = [spec for spec in specs if not spec.optional] or list(specs)
    names = list(data.columns)
    if len(required) != 1 or len(required[0].shape) != 2:
        raise InvalidArgument(f"no column of {names} is an input: the inputs are {_told(specs)}")
    spec = required[0]
    if spec.shape[1] not in (-1, len(names)):
        raise InvalidArgument(
            f"no column is an input's name, and as features of input {_told([spec])} "
            f"{spec.shape[1]} columns are expected, got {len(names)}: {names}"
        )
    whole = [v if isinstance(v, list) else [v] for v in data.columns.values()]
    if len({len(values) for values in whole}) != 1:
        raise InvalidArgument(f"columns {names} differ in length")
    columns = [
        _convert(*_flatten(values, name), name, spec.dtype)
        for name, values in zip(names, whole, strict=True)
    ]
    for name, column in zip(names, columns, strict=True):
        if column.ndim != 1:
            raise InvalidArgument(f"column '{name}': expected one value per row")
    return Tensor(spec.name, spec.dtype, np.stack(columns, axis=1))


def _tensor(values: Any, spec: TensorSpec, rows: int | None) -> Tensor:
    array = _fit(_convert(*_flatten(values, spec.name), spec.name, spec.dtype), spec)
    if rows is not None and (not array.shape or array.shape[0] != rows):
        raise InvalidArgument(
            f"input {_told([spec])}: {rows} rows do not fit into shape {list(array.shape)}"
        )
    return Tensor(spec.name, spec.dtype, array)


def _flatten(values: Any, name: str) -> tuple[list[Any], tuple[int, ...]]:
    """Nested lists as their elements and their shape."""
    level, shape = [values], []
    while level and any(isinstance(item, list) for item in level):
        sizes = {len(item) if isinstance(item, list) else -1 for item in level}
        if len(sizes) != 1:
            raise InvalidArgument(
                f"'{name}': lists of different sizes do not make a tensor; "
                "make them equal, or ask row by row"
            )
        shape.append(sizes.pop())
        level = [element for item in level for element in item]
    return level, tuple(shape)


def _fit(array: Array, spec: TensorSpec) -> Array:
    """The array with a row dimension, or with dimensions of one, where the input has them."""
    shape, want = array.shape, spec.shape
    if spec.accepts(shape):
        return array
    if spec.accepts((1, *shape)):
        return array.reshape((1, *shape))
    fixed = want[1:] if want[:1] == (-1,) else want
    if -1 not in fixed:
        size = math.prod(fixed)
        if want != fixed and shape and math.prod(shape[1:]) == size:
            return array.reshape((shape[0], *fixed))
        if array.size == size:
            return array.reshape((1, *fixed) if want != fixed else fixed)
    raise InvalidArgument(f"input {_told([spec])}: got values of shape {list(shape)}")


def _convert(flat: list[Any], shape: tuple[int, ...], name: str, dtype: DType) -> Array:
    """Elements of a file as an array of a datatype: text is read as numbers where they are asked.

    Raises:
        InvalidArgument: an element is none of the datatype; names its position.
    """
    if dtype.is_float:
        array = _floats(flat, name, dtype)
    elif dtype is DType.BYTES:
        array = object_array([_text(item, name, i) for i, item in enumerate(flat)])
    elif dtype is DType.BOOL:
        array = np.array([_truth(item, name, i) for i, item in enumerate(flat)], dtype.numpy)
    else:
        array = np.array([_whole(v, name, i, dtype) for i, v in enumerate(flat)], dtype.numpy)
    return array.reshape(shape)


def _floats(flat: list[Any], name: str, dtype: DType) -> Array:
    try:
        wide = np.array([None if item == "" else item for item in flat], np.float64)
    except (TypeError, ValueError):
        wide = np.array([_number(item, name, i, dtype) for i, item in enumerate(flat)], np.float64)
    if dtype is DType.BF16:
        bits = wide.astype("<f4").view("<u4")
        nearest_even = (bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16
        return np.where(np.isnan(wide), np.uint32(0x7FC0), nearest_even).astype(dtype.numpy)
    with np.errstate(over="ignore"):
        array = wide.astype(dtype.numpy)
    lost = np.flatnonzero(np.isinf(array) & np.isfinite(wide))
    if lost.size:
        raise _bad(name, int(lost[0]), dtype, flat[int(lost[0])])
    return array


def _number(item: Any, name: str, index: int, dtype: DType) -> float:
    if item is None or item == "":
        return math.nan
    try:
        return float(item)
    except (TypeError, ValueError, OverflowError) as err:
        raise _bad(name, index, dtype, item) from err


def _whole(item: Any, name: str, index: int, dtype: DType) -> int:
    try:
        number = int(item)
        if isinstance(item, bool) or (isinstance(item, float) and number != item):
            raise _bad(name, index, dtype, item)
    except (TypeError, ValueError, OverflowError) as err:
        raise _bad(name, index, dtype, item) from err
    limits = np.iinfo(dtype.numpy)
    if not limits.min <= number <= limits.max:
        raise _bad(name, index, dtype, item)
    return number


def _truth(item: Any, name: str, index: int) -> bool:
    known = item if isinstance(item, bool) else _TRUTH.get(str(item).strip().lower())
    if known is None:
        raise _bad(name, index, DType.BOOL, item)
    return known


def _text(item: Any, name: str, index: int) -> bytes:
    if isinstance(item, bytes):
        return item
    if not isinstance(item, str):
        raise _bad(name, index, DType.BYTES, item)
    return item.encode()


def _bad(name: str, index: int, dtype: DType, item: Any) -> InvalidArgument:
    what = "text" if dtype is DType.BYTES else dtype
    return InvalidArgument(f"'{name}', value {index + 1}: expected {what}, got {item!r}")


def _told(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in specs)
