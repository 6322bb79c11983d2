"""The input example saved with an MLflow model, as a request's tensors; reads no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.tensor import Array, Tensor, bytes_array, cast_values, object_array
from penstock.runtime.mlflow.field import Field
from penstock.runtime.mlflow.mlmodel import MlModel


def read_example(model: MlModel) -> tuple[Tensor, ...] | None:
    """The example's rows; None: there is none that fits the signature. Blocks on the disk."""
    if model.example is None or model.inputs is None:
        return None
    try:
        path = model.folder / str(model.example["artifact_path"])
        content = json.loads(path.read_bytes())
        if model.example.get("params"):
            content = content["data"] if "data" in content else content["inputs"]
        values = _by_name(model.inputs, str(model.example["type"]), content)
        return tuple(
            _tensor(field, values[field.spec.name])
            for field in model.inputs
            if field.spec.name in values
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None  # zeros will do


def _by_name(fields: Sequence[Field], kind: str, content: Any) -> dict[str, Any]:
    """The values of each field, by the wire's name."""
    if kind == "dataframe":
        content = _columns(content)
    if isinstance(content, Mapping):
        by_column = {str(name): value for name, value in content.items()}
        return {
            f.spec.name: by_column[f.spec.name if f.column is None else f.column]
            for f in fields
            if f.column is None or f.column in by_column
        }
    (field,) = fields
    return {field.spec.name: content}


def _columns(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A table in the orientation ``split`` as columns by name."""
    rows = content["data"]
    names = content.get("columns") or range(len(rows[0]))
    return {str(name): [row[i] for row in rows] for i, name in enumerate(names)}


def _tensor(field: Field, values: Any) -> Tensor:
    spec = field.spec
    if spec.dtype is not DType.BYTES:
        array = cast_values(values, spec.dtype.numpy)
        if array is None or not spec.accepts(array.shape):
            raise ValueError(f"the example of '{spec.name}' does not fit")
        return Tensor(spec.name, spec.dtype, array)
    return Tensor(spec.name, spec.dtype, bytes_array(_texts(field, values)))


def _texts(field: Field, values: Any) -> Array:
    if field.element == "json":
        return object_array([json.dumps(value) for value in values])
    return np.array(values, dtype=object)
