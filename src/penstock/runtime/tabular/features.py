"""Features as inputs: one matrix ``x``, or one tensor for each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.declared import spec_of
from penstock.runtime.text_input import elements

Style: TypeAlias = Literal["auto", "matrix", "columns"]
"""How a model's features come: in one tensor, or each in its own."""

_MOST_NAMES = 50


class FeatureInputs(Protocol):
    """The inputs of a model of rows and columns."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """Their declarations."""
        ...

    def read(self, inputs: Sequence[Tensor]) -> Any:
        """What the framework takes, from tensors that fit the declarations."""
        ...


class Matrix:
    """One input ``[-1, n]`` that holds every feature, in the order the model was trained with."""

    def __init__(self, spec: TensorSpec) -> None:
        self.specs = (spec,)

    def read(self, inputs: Sequence[Tensor]) -> Array:
        """The tensor's own array; text as ``str``.

        Raises:
            InvalidInput: text is not UTF-8.
        """
        return elements(inputs[0])


class Columns:
    """One input ``[-1]`` for each feature."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self.specs = tuple(specs)

    def read(self, inputs: Sequence[Tensor]) -> dict[str, Array]:
        """One array for each feature, in the features' order; NaN or "" where it was left out.

        Raises:
            InvalidInput: text is not UTF-8.
        """
        rows = inputs[0].shape[0]
        given = {tensor.name: tensor for tensor in inputs}
        return {
            spec.name: elements(given[spec.name]) if spec.name in given else _missing(spec, rows)
            for spec in self.specs
        }


class Floats:
    """Features, however they come, as the one matrix of floats that a numeric engine takes."""

    def __init__(self, inputs: Matrix | Columns, dtype: DType) -> None:
        self.specs = inputs.specs
        self._inputs = inputs
        self._dtype = dtype.numpy

    def read(self, inputs: Sequence[Tensor]) -> Array:
        """``[rows, features]``, FP32 or FP64; an array of floats is passed on as it came."""
        if isinstance(self._inputs, Columns):
            columns = self._inputs.read(inputs)
            return np.stack([np.asarray(c, self._dtype) for c in columns.values()], axis=1)
        matrix = self._inputs.read(inputs)
        return matrix if matrix.dtype in (np.float32, np.float64) else matrix.astype(self._dtype)


def matrix_input(
    artifact: ArtifactRef, num_features: int, names: Sequence[str], dtype: DType
) -> Matrix:
    """One input for all features: ``x``, unless the manifest declares another name or datatype.

    Args:
        artifact: whose manifest is asked.
        num_features: as the model knows it; -1: it does not, and the manifest must.
        names: of the features, for people; empty: it has none.
        dtype: where the manifest declares none.

    Raises:
        LoadFailed: the manifest declares what no matrix can be, or nothing knows its width.
    """
    declared = declared_inputs(artifact)
    spec = next(iter(declared.values())) if len(declared) == 1 else None
    width = num_features
    if spec is not None:
        dtype = spec.dtype
        width = num_features if num_features > 0 or len(spec.shape) != 2 else spec.shape[1]
    if width < 1:
        raise LoadFailed(
            f"{artifact.id}: the model does not say how many features it takes: declare its input "
            "in model.yaml, such as signature: {inputs: [{name: x, datatype: FP64, "
            "shape: [-1, 4]}]}"
        )
    return Matrix(
        TensorSpec("x" if spec is None else spec.name, dtype, (-1, width), description=_told(names))
    )


def column_inputs(artifact: ArtifactRef, dtypes: Mapping[str, DType]) -> Columns:
    """One input for each feature, of these datatypes unless the manifest declares others.

    Raises:
        LoadFailed: the manifest declares a datatype there is none of.
    """
    declared = declared_inputs(artifact)
    return Columns(
        [
            TensorSpec(
                name,
                declared[name].dtype if name in declared else dtype,
                (-1,),
                optional=name in declared and declared[name].optional,
            )
            for name, dtype in dtypes.items()
        ]
    )


def numeric_inputs(
    artifact: ArtifactRef, num_features: int, names: Sequence[str], dtype: DType, style: Style
) -> Floats:
    """The inputs of an engine that knows numbers only.

    Args:
        artifact: whose manifest is asked.
        num_features: how many there are.
        names: of the features; empty: they have none.
        dtype: of the engine, and of the inputs unless the manifest declares another.
        style: ``auto``: columns where the manifest declares some, else one matrix.

    Raises:
        LoadFailed: columns are asked for where features have no names, or a declared datatype is
            no number.
    """
    if style == "columns" and not names:
        raise LoadFailed(
            f"{artifact.id}: runtime_options.inputs is 'columns', but the model's features have no "
            "names: train it with feature names, or say inputs: matrix"
        )
    is_declared = not declared_inputs(artifact).keys().isdisjoint(names)
    if style == "columns" or (style == "auto" and is_declared):
        inputs: Matrix | Columns = column_inputs(artifact, dict.fromkeys(names, dtype))
    else:
        inputs = matrix_input(artifact, num_features, names, dtype)
    for spec in inputs.specs:
        if spec.dtype in (DType.BYTES, DType.BF16):
            raise LoadFailed(
                f"{artifact.id}: signature: '{spec.name}' is declared as {spec.dtype}, but the "
                f"model takes numbers, such as {dtype}"
            )
    return Floats(inputs, dtype)


def declared_inputs(artifact: ArtifactRef) -> dict[str, TensorSpec]:
    """The inputs a manifest declares, by name.

    Raises:
        LoadFailed: one is of no datatype there is.
    """
    try:
        return {field.name: spec_of(field) for field in artifact.manifest.signature.inputs}
    except ConfigError as err:
        raise LoadFailed(f"{artifact.id}: {err.message}") from err


def _missing(spec: TensorSpec, rows: int) -> Array:
    if spec.dtype is DType.BYTES:
        return object_array([""] * rows)
    return np.full(rows, np.nan if spec.dtype.is_float else 0, spec.dtype.numpy)


def _told(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return "features in this order: " + ", ".join(names[:_MOST_NAMES]) + more
