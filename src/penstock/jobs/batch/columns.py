"""ColumnMap: which columns make which inputs of a model, and rows of them as tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.core.errors import ConfigError, InvalidArgument, JobInputError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.jobs.batch.elements import Misfits, WrongType, to_elements
from penstock.jobs.batch.source import BadRow
from penstock.repository.manifest_shape import nearest

Mapped: TypeAlias = Mapping[str, str | Sequence[str]]
"""Input to its column, or to columns side by side."""


_ROWS_IN_CACHE = 4096
"""Rows that are filled together: of all at once, every column would fetch each of them anew."""


class _BadRows(NamedTuple):
    """Rows of a batch that cannot be read, and why each; a row may be there several times."""

    at: Array
    whys: Sequence[str]


class _Input(NamedTuple):
    """An input and what it is made of.

    Attributes:
        spec: its declaration.
        columns: their names.
        is_wide: whether they stand side by side, each giving one element of every row.
    """

    spec: TensorSpec
    columns: tuple[str, ...]
    is_wide: bool

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row; -1: any size."""
        return self.spec.shape[1:]


class ColumnMap:
    """Columns to inputs, checked against a signature. Immutable; any thread; can be pickled."""

    def __init__(self, inputs: Sequence[_Input]) -> None:
        self._inputs = tuple(inputs)
        self.columns: tuple[str, ...] = tuple(
            dict.fromkeys(name for one in inputs for name in one.columns)
        )
        """What is read for it, each once."""

    @classmethod
    def resolve(cls, signature: ModelSignature, mapping: Mapped) -> ColumnMap:
        """Find what each input is made of.

        Args:
            signature: of the model, which has to batch.
            mapping: input to its column, or to columns side by side. An input that is not named
                takes the column of its own name; an optional one is left out.

        Raises:
            ConfigError: an unknown input, columns that do not fit the input's shape, or a model
                that does not batch.
        """
        if not signature.batched:
            raise ConfigError(
                "columns: the model does not batch, so that a row has no place in its inputs; give "
                "its inputs and outputs a first dimension for rows"
            )
        known = [spec.name for spec in signature.inputs]
        for name in mapping:
            if name not in known:
                raise ConfigError(
                    f"columns.{name}: the model has no input of this name, {nearest(name, known)}"
                )
        wanted = [spec for spec in signature.inputs if spec.name in mapping or not spec.optional]
        return cls([_resolve(spec, mapping.get(spec.name, spec.name)) for spec in wanted])

    def to_tensors(self, batch: pa.RecordBatch) -> tuple[tuple[Tensor, ...], Sequence[BadRow]]:
        """Rows as tensors, without a copy where Arrow holds them as a tensor does.

        Args:
            batch: rows, with the columns that are read among others.

        Returns:
            one tensor for each input, ``[good rows, ...]``; and the rows that cannot be read, by
            their place in the batch, ascending: a null, a list of another length, a text that is
            no number, a number out of range.

        Raises:
            JobInputError: a column is missing, or of a type that never fits; or lists for a free
                dimension differ in length. Names column, what was expected, what came.
        """
        kept = np.arange(batch.num_rows)
        bad: list[BadRow] = []
        while True:
            tensors, found = self._read(batch)
            if not found:
                return tuple(tensors), sorted(bad)
            bad += [BadRow(int(kept[row]), InvalidArgument(why)) for row, why in found.items()]
            is_good = np.ones(batch.num_rows, dtype=bool)
            is_good[list(found)] = False
            kept = kept[is_good]
            batch = batch.filter(pa.array(is_good))

    def _read(self, batch: pa.RecordBatch) -> tuple[list[Tensor], dict[int, str]]:
        """Tensors of all rows; or, where some are bad, those that a first look finds."""
        tensors: list[Tensor] = []
        bad: dict[int, str] = {}
        for one in self._inputs:
            array = _read_wide(one, batch) if one.is_wide else _read_one(one, batch)
            if isinstance(array, _BadRows):
                for row, why in zip(array.at.tolist(), array.whys, strict=True):
                    bad.setdefault(row, why)
            else:
                tensors.append(Tensor(one.spec.name, one.spec.dtype, array))
        return tensors, bad


def _resolve(spec: TensorSpec, columns: str | Sequence[str]) -> _Input:
    if isinstance(columns, str):
        return _Input(spec, (columns,), is_wide=False)
    count, row = len(columns), spec.shape[1:]
    if not columns or len(row) != 1 or row[0] not in (-1, count):
        takes = f"rows of shape {_dims(row)}" if row else "one value for each row"
        raise ConfigError(
            f"columns.{spec.name}: {count} columns side by side make rows of shape [{count}], but "
            f"the input takes {takes}"
        )
    return _Input(spec, tuple(columns), is_wide=True)


def _read_wide(one: _Input, batch: pa.RecordBatch) -> Array | _BadRows:
    """Columns side by side: ``[rows, columns]``."""
    side = [_read_scalars(one, name, batch) for name in one.columns]
    bad = [found for found in side if isinstance(found, _BadRows)]
    if bad:
        return bad[0]
    stacked = np.empty((batch.num_rows, len(side)), dtype=one.spec.dtype.numpy)
    for start in range(0, batch.num_rows, _ROWS_IN_CACHE):
        rows = slice(start, start + _ROWS_IN_CACHE)
        for place, values in enumerate(side):
            stacked[rows, place] = values[rows]
    return stacked


def _read_scalars(one: _Input, name: str, batch: pa.RecordBatch) -> Array | _BadRows:
    column = _plain(_column(one, name, batch))
    bad = _nulls(name, column)
    return _elements(one, name, column, 1) if bad is None else bad


def _read_one(one: _Input, batch: pa.RecordBatch) -> Array | _BadRows:
    """One column: a value for each row, lists as deep as the rows' shape, or flat ones."""
    (name,) = one.columns
    values = _column(one, name, batch)
    if pa.types.is_null(values.type):
        values = pa.nulls(len(values), _lists_of_null(len(one.row_shape)))
    lengths, row_shape = _layout(one, name, values.type)
    values, sizes = _plain(values), list[int]()
    for wanted in lengths:
        bad = _nulls(name, values) or _wrong_lengths(one, name, values, wanted)
        if bad is not None:
            return bad._replace(at=bad.at // math.prod(sizes))
        sizes.append(_length(values, wanted))
        values = _plain(values.flatten())
    per_row = max(math.prod(sizes), 1)
    bad = _nulls(name, values)
    if bad is not None:
        return bad._replace(at=bad.at // per_row)
    elements = _elements(one, name, values, per_row)
    if isinstance(elements, _BadRows):
        return elements
    return elements.reshape(batch.num_rows, *(sizes if row_shape is None else row_shape))


def _layout(
    one: _Input, name: str, kind: pa.DataType
) -> tuple[Sequence[int], Sequence[int] | None]:
    """How long the lists of each level have to be (-1: any size), and the shape that their
    elements are given; None: that of the lists.

    Raises:
        JobInputError: a column of this type never makes rows of the input's shape.
    """
    row, is_fixed = one.row_shape, -1 not in one.row_shape
    if isinstance(kind, pa.FixedShapeTensorType):
        shape = tuple(kind.shape)
        if one.spec.accepts((one.spec.shape[0], *shape)) and not _is_permuted(kind):
            return [math.prod(shape)], shape
        raise _never_fits(one, name, f"rows of shape {_dims(row)}", f"of {_dims(shape)}")
    depth = _depth(kind)
    if depth == len(row):
        return row, None
    if depth == 0 and all(dim in (1, -1) for dim in row):
        return [], [1] * len(row)
    if depth == 1 and row and is_fixed:
        return [math.prod(row)], row
    wanted = f"lists {len(row)} deep for rows of shape {_dims(row)}" if row else "one value a row"
    raise _never_fits(one, name, wanted, str(kind))


def _is_permuted(kind: pa.FixedShapeTensorType) -> bool:
    order = kind.permutation
    return order is not None and list(order) != sorted(order)


def _lists_of_null(depth: int) -> pa.DataType:
    return pa.list_(_lists_of_null(depth - 1)) if depth else pa.null()


def _depth(kind: pa.DataType) -> int:
    depth = 0
    while _is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return depth


def _is_list(kind: pa.DataType) -> bool:
    is_fixed = pa.types.is_fixed_size_list(kind)
    return bool(is_fixed or pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _column(one: _Input, name: str, batch: pa.RecordBatch) -> pa.Array:
    place = batch.schema.get_field_index(name)
    if place < 0:
        names = batch.schema.names
        told = "there more than once" if name in names else f"missing, {nearest(name, names)}"
        raise JobInputError(f"column '{name}' (for input '{one.spec.name}'): {told}")
    return batch.column(place)


def _plain(values: pa.Array) -> pa.Array:
    """Values themselves, where they stand behind an extension or in a dictionary."""
    while isinstance(values, pa.ExtensionArray):
        values = values.storage
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values


def _nulls(name: str, values: pa.Array) -> _BadRows | None:
    if not values.null_count:
        return None
    at = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
    return _BadRows(at, [f"column '{name}': expected a value, got null"] * len(at))


def _wrong_lengths(one: _Input, name: str, values: pa.Array, wanted: int) -> _BadRows | None:
    """Lists that are not as long as they have to be.

    Raises:
        JobInputError: all of them are; or any length would do, but they differ.
    """
    if pa.types.is_fixed_size_list(values.type):
        if wanted in (-1, values.type.list_size):
            return None
        raise _never_fits(one, name, f"lists of {wanted}", str(values.type))
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
    is_wrong = lengths != _length(values, wanted)
    if not is_wrong.any():
        return None
    if wanted == -1:
        low, high = lengths.min(), lengths.max()
        raise JobInputError(
            f"column '{name}' (for input '{one.spec.name}' of shape {_dims(one.spec.shape)}): rows "
            f"of one batch have to be of one length, got lists of {low} to {high}; pad them in the "
            "transform"
        )
    at = np.flatnonzero(is_wrong)
    whys = [
        f"column '{name}': expected a list of {wanted}, got one of {lengths[row]}" for row in at
    ]
    return _BadRows(at, whys)


def _length(values: pa.Array, wanted: int) -> int:
    """How long the lists are: as wanted, or else as the first of them."""
    if wanted != -1:
        return wanted
    if pa.types.is_fixed_size_list(values.type):
        return int(values.type.list_size)
    return len(values[0]) if len(values) else 0


def _elements(one: _Input, name: str, values: pa.Array, per_row: int) -> Array | _BadRows:
    try:
        found = to_elements(values, one.spec.dtype)
    except WrongType as err:
        raise _never_fits(one, name, str(err), str(values.type)) from None
    if isinstance(found, Misfits):
        return _BadRows(found.at // per_row, [f"column '{name}': {why}" for why in found.whys])
    return found


def _never_fits(one: _Input, name: str, expected: str, got: str) -> JobInputError:
    return JobInputError(
        f"column '{name}' (for input '{one.spec.name}', {one.spec.dtype}): expected {expected}, "
        f"got {got}; cast it in the transform, or map another column"
    )


def _dims(shape: Iterable[int]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
