"""OutputColumns: a model's answers, and columns that go along, as rows of one fixed schema."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, JobInputError, JobOutputError, MalformedAnswer
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.jobs.batch.distribution import bf16_to_float32
from penstock.repository.manifest_shape import nearest

_ARROW: Mapping[DType, pa.DataType] = {
    DType.BOOL: pa.bool_(),
    DType.UINT8: pa.uint8(),
    DType.UINT16: pa.uint16(),
    DType.UINT32: pa.uint32(),
    DType.UINT64: pa.uint64(),
    DType.INT8: pa.int8(),
    DType.INT16: pa.int16(),
    DType.INT32: pa.int32(),
    DType.INT64: pa.int64(),
    DType.FP16: pa.float32(),
    DType.FP32: pa.float32(),
    DType.FP64: pa.float64(),
    DType.BF16: pa.float32(),
    DType.BYTES: pa.string(),
}
"""What holds an element; FP16 and BF16 are written as FP32, which holds each of their values and
which every reader knows."""


class OutputColumns:
    """The columns of an output. Immutable; any thread; can be pickled.

    Attributes:
        schema: kept columns first, then one column for each output of the model.
    """

    def __init__(
        self, outputs: Sequence[TensorSpec], keep: Sequence[str], schema: pa.Schema
    ) -> None:
        self._outputs = tuple(outputs)
        self._keep = tuple(keep)
        self.schema = schema

    @classmethod
    def resolve(
        cls,
        signature: ModelSignature,
        input_schema: pa.Schema,
        keep: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        binary: Collection[str] = (),
    ) -> OutputColumns:
        """Fix the schema that all parts have.

        An output of one element a row is a plain column, others are lists, as deep as its shape.

        Args:
            signature: of the model, which batches.
            input_schema: of the first rows that were read.
            keep: columns of the input that go along.
            rename: output to the name that it is written under, or a kept column; a name that is
                both is the output's.
            binary: BYTES outputs that are no text.

        Raises:
            ConfigError: an unknown name, or two columns of one name.
        """
        outputs = {spec.name: spec for spec in signature.outputs}
        renamed = rename or {}
        columns = input_schema.names
        for name in keep:
            if columns.count(name) != 1:
                told = "there more than once" if name in columns else nearest(name, columns)
                raise ConfigError(f"keep: the input has no one column '{name}': {told}")
        for name in renamed:
            if name not in outputs and name not in keep:
                hint = nearest(name, [*outputs, *keep])
                raise ConfigError(f"rename.{name}: neither an output nor a kept column, {hint}")
        for name in binary:
            if name not in outputs or outputs[name].dtype is not DType.BYTES:
                raise ConfigError(f"binary: the model has no BYTES output '{name}'")
        fields = [
            pa.field(name if name in outputs else renamed.get(name, name), _kept_type(kind))
            for name, kind in ((name, input_schema.field(name).type) for name in keep)
        ]
        fields += [
            pa.field(renamed.get(name, name), _output_type(spec, is_binary=name in binary))
            for name, spec in outputs.items()
        ]
        _refuse_twins([field.name for field in fields])
        return cls(signature.outputs, keep, pa.schema(fields))

    def to_batch(self, outputs: Sequence[Tensor], kept: pa.RecordBatch) -> pa.RecordBatch:
        """Answers and the columns that go along, as rows of the schema.

        Args:
            outputs: one tensor for each output of the model, ``[rows, ...]``.
            kept: the rows that they answer, with the kept columns among others.

        Raises:
            JobInputError: a kept column is missing, or of another type than it was first.
            JobOutputError: an answer is no text.
            MalformedAnswer: an output is missing, or has another number of rows.
        """
        by_name = {one.name: one for one in outputs}
        fields = iter(self.schema)
        columns = [_kept(name, next(fields).type, kept) for name in self._keep]
        for spec, field in zip(self._outputs, fields, strict=True):
            tensor = by_name.get(spec.name)
            if tensor is None or tensor.shape[:1] != (kept.num_rows,):
                got = "nothing" if tensor is None else f"shape {list(tensor.shape)}"
                raise MalformedAnswer(
                    f"output '{spec.name}': expected {kept.num_rows} rows, got {got}"
                )
            columns.append(_to_column(tensor, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _refuse_twins(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"output: two columns would be called '{twice}'; rename the model's output: "
            f"rename: {{{twice}: ANOTHER}}"
        )


def _kept_type(kind: pa.DataType) -> pa.DataType:
    """What a kept column is written as: values themselves, not a dictionary's keys."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _kept(name: str, kind: pa.DataType, batch: pa.RecordBatch) -> pa.Array:
    place = batch.schema.get_field_index(name)
    if place < 0:
        raise JobInputError(
            f"column '{name}', which is kept: expected {kind}, got rows without it; all files "
            "of an input have to have the columns of the first"
        )
    column = batch.column(place)
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise JobInputError(
            f"column '{name}', which is kept: expected {kind} as in the first rows, got "
            f"{column.type}; cast it in the transform"
        ) from err


def _is_single(spec: TensorSpec) -> bool:
    return all(dim == 1 for dim in spec.shape[1:])


def _output_type(spec: TensorSpec, *, is_binary: bool) -> pa.DataType:
    kind = pa.binary() if is_binary else _ARROW[spec.dtype]
    if _is_single(spec):
        return kind
    for dim in reversed(spec.shape[1:]):
        kind = pa.list_(kind, dim)
    return kind


def _to_column(tensor: Tensor, kind: pa.DataType) -> pa.Array:
    """A tensor as a column; a view of it where no bit changes."""
    leaf, levels = kind, list[pa.DataType]()
    while pa.types.is_list(leaf) or pa.types.is_fixed_size_list(leaf):
        levels.append(leaf)
        leaf = leaf.value_type
    column = _leaves(tensor, leaf)
    for level, depth in zip(reversed(levels), range(len(levels), 0, -1), strict=True):
        column = _nested(column, level, tensor.shape, depth)
    return column


def _nested(values: pa.Array, kind: pa.DataType, shape: Sequence[int], depth: int) -> pa.Array:
    """Values as lists along a dimension of a tensor."""
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    count, length = int(np.prod(shape[:depth], dtype=np.int64)), shape[depth]
    offsets = np.arange(count + 1, dtype=np.int32) * length
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind)


def _leaves(tensor: Tensor, kind: pa.DataType) -> pa.Array:
    flat = np.ascontiguousarray(tensor.array).reshape(-1)
    if tensor.dtype is not DType.BYTES:
        return pa.array(_widened(flat, tensor.dtype), kind)
    try:
        return pa.array(flat, kind)
    except pa.ArrowInvalid as err:
        raise JobOutputError(
            f"output '{tensor.name}': expected text in UTF-8, got other bytes; name it in 'binary' "
            "to write it as it is"
        ) from err


def _widened(flat: Array, dtype: DType) -> Array:
    if dtype is DType.BF16:
        return bf16_to_float32(flat)
    return flat.astype(np.float32) if dtype is DType.FP16 else flat
