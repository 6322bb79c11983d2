"""Field: one input or output of an MLflow signature, and the tensor it is on the wire. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from penstock.core.dtype import DType
from penstock.core.signature import TensorSpec

_COLUMNS: Mapping[str, DType] = MappingProxyType(
    {
        "boolean": DType.BOOL,
        "integer": DType.INT32,
        "long": DType.INT64,
        "float": DType.FP32,
        "double": DType.FP64,
        "string": DType.BYTES,
        "binary": DType.BYTES,
        "datetime": DType.BYTES,
    }
)
_NESTED = ("object", "map", "any")
_JSON = "json"
_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {"datetime": "ISO 8601 text", _JSON: "JSON text", "string": "UTF-8"}
)


class Field(msgspec.Struct, frozen=True):
    """One tensor, or one column of a table.

    Attributes:
        column: its name in the model's schema; None: it has none there.
        element: MLflow's type of an element (``double``, ``string`` ...), ``json`` for what is
            nested, or a tensor's numpy datatype.
        is_tensor: whether it is a tensor of its own; else a column of a table.
        spec: what it is on the wire.
    """

    column: str | None
    element: str
    is_tensor: bool
    spec: TensorSpec


def read_fields(schema: Sequence[Mapping[str, Any]], default: str) -> tuple[Field, ...]:
    """An MLflow schema's fields.

    Args:
        schema: its JSON, parsed.
        default: the wire's name of a field that has none.

    Raises:
        ValueError: a type that no tensor holds.
    """
    names = [item.get("name") for item in schema]
    wire = [default if len(schema) == 1 else f"{default}_{i}" for i in range(len(schema))]
    return tuple(
        _read(item, str(wire[i] if name is None else name))
        for i, (item, name) in enumerate(zip(schema, names, strict=True))
    )


def tensor_field(spec: TensorSpec, *, is_named: bool = True) -> Field:
    """The field of a tensor that a manifest declares, or that an answer showed."""
    element = "str" if spec.dtype is DType.BYTES else spec.dtype.numpy.name
    return Field(spec.name if is_named else None, element, True, spec)


def _read(item: Mapping[str, Any], name: str) -> Field:
    column = None if item.get("name") is None else str(item["name"])
    if item["type"] == "tensor":
        return _tensor(item["tensor-spec"], column, name)
    element, dims = _element(item)
    dtype = DType.BYTES if element == _JSON else _COLUMNS[element]
    required = item.get("required", not item.get("optional", False))
    spec = TensorSpec(
        name,
        dtype,
        (-1,) * (1 + dims),
        optional=not required,
        description=_DESCRIPTIONS.get(element, ""),
    )
    return Field(column, element, False, spec)


def _tensor(tensor: Mapping[str, Any], column: str | None, name: str) -> Field:
    element = str(tensor["dtype"])
    dtype = DType.from_numpy(np.dtype(element))
    if dtype is None:
        raise ValueError(f"tensor '{name}': no Open Inference datatype holds {element}")
    return Field(column, element, True, TensorSpec(name, dtype, tuple(tensor["shape"])))


def _element(item: Mapping[str, Any]) -> tuple[str, int]:
    """The type of a column's elements, and how deep in lists they are."""
    kind = item["type"]
    if kind == "array":
        element, dims = _element(item["items"])
        return (_JSON, 0) if element == _JSON else (element, dims + 1)
    if kind == "sparkml_vector":
        return "double", 1
    if kind in _NESTED:
        return _JSON, 0
    if kind not in _COLUMNS:
        raise ValueError(f"there is no column type {kind!r}")
    return kind, 0
