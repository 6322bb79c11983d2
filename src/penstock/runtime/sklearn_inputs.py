"""What an estimator takes: a matrix, columns by name, or a list of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.sklearn_columns import (
    ColumnUse,
    example_values,
    first_step,
    picks_by_name,
    takes_text,
    uses_of,
)
from penstock.runtime.tabular.features import (
    Columns,
    Matrix,
    Style,
    column_inputs,
    declared_inputs,
    matrix_input,
)
from penstock.runtime.text_input import elements


class SklearnInputs:
    """The inputs of one estimator.

    Attributes:
        specs: their declarations.
        example: one row that it should be able to take.
        is_text: whether it is a list of texts, one for each row.
    """

    is_text = False

    def __init__(self, inputs: Matrix | Columns, examples: Sequence[Sequence[Any]]) -> None:
        self.specs = inputs.specs
        self.example = tuple(map(_example, self.specs, examples))
        self._inputs = inputs

    def read(self, inputs: Sequence[Tensor]) -> Any:
        """What its methods take: an array, or a DataFrame of columns."""
        features = self._inputs.read(inputs)
        if isinstance(features, dict):
            from pandas import DataFrame

            return DataFrame(features, copy=False)
        return features


class TextInput(SklearnInputs):
    """One input ``text``."""

    is_text = True

    def __init__(self) -> None:
        super().__init__(Columns([TensorSpec("text", DType.BYTES, (-1,))]), [[""]])

    def read(self, inputs: Sequence[Tensor]) -> list[str]:
        """A list of ``str``."""
        texts: list[str] = elements(inputs[0]).tolist()
        return texts


def find_inputs(artifact: ArtifactRef, estimator: Any, style: Style) -> SklearnInputs:
    """The inputs of an estimator, with what the manifest declares of them.

    Raises:
        LoadFailed: columns are asked for by name and have none, or no matrix holds the features,
            or nothing tells how many there are.
    """
    if takes_text(estimator):
        return TextInput()
    names = _names(estimator)
    count = len(names) or _count(estimator)
    uses = uses_of(estimator, max(count, 0))
    declared = declared_inputs(artifact)
    is_mixed = len({use.dtype for use in uses.values()}) > 1
    by_name = picks_by_name(estimator) or is_mixed or not declared.keys().isdisjoint(names)
    if style == "columns" or (style == "auto" and names and by_name):
        return _columns(artifact, names, uses)
    matrix = matrix_input(artifact, count, names, _matrix_dtype(artifact, uses))
    return SklearnInputs(matrix, [example_values(uses, matrix.specs[0].shape[1])])


def _columns(
    artifact: ArtifactRef, names: Sequence[str], uses: Mapping[int, ColumnUse]
) -> SklearnInputs:
    if not names:
        raise LoadFailed(
            f"{artifact.id}: runtime_options.inputs is 'columns', but the estimator was fitted "
            "without column names: fit it on a DataFrame, or say inputs: matrix"
        )
    columns = column_inputs(artifact, {names[i]: use.dtype for i, use in uses.items()})
    return SklearnInputs(columns, [[use.example] for use in uses.values()])


def _matrix_dtype(artifact: ArtifactRef, uses: Mapping[int, ColumnUse]) -> DType:
    dtypes = {use.dtype for use in uses.values()}
    if len(dtypes) > 1 and not dtypes <= {DType.FP64, DType.INT64, DType.BOOL}:
        raise LoadFailed(
            f"{artifact.id}: some of the estimator's features are text and some are numbers, which "
            "no matrix holds: fit it on a DataFrame with named columns"
        )
    return dtypes.pop() if len(dtypes) == 1 else DType.FP64


def _names(estimator: Any) -> list[str]:
    """The names of the columns it was fitted with; empty: they had none."""
    for part in (estimator, first_step(estimator)):
        names = getattr(part, "feature_names_in_", None)
        if names is not None:
            return [str(name) for name in names]
    return []


def _count(estimator: Any) -> int:
    """How many features it was fitted with; -1: it does not say."""
    for part in (estimator, first_step(estimator)):
        count = getattr(part, "n_features_in_", None)
        if count is not None:
            return int(count)
    return -1


def _example(spec: TensorSpec, values: Sequence[Any]) -> Tensor:
    """One row of these values; where one does not fit the datatype, a row of none."""
    shape = (1, *spec.shape[1:])
    if spec.dtype is DType.BYTES:
        array: Array = np.empty(shape, object)
        array[...] = np.array([str(value).encode() for value in values], object).reshape(shape)
        return Tensor(spec.name, spec.dtype, array)
    if any(isinstance(value, str) for value in values):
        values = [0] * len(values)
    return Tensor(spec.name, spec.dtype, np.array(values).reshape(shape).astype(spec.dtype.numpy))
