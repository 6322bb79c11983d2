"""JSON objects become Arrow columns of one schema, which is found while they are first seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pyarrow as pa

from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.sift import sift

_REFUSALS = (pa.ArrowException, TypeError, ValueError, OverflowError)


class SeenColumns:
    """The columns of objects: every name that one of them has, in the order of their coming.

    Of values of several types the first one's counts, but that whole numbers become float64 where
    numbers with a fraction come too, and objects within get each other's names. A column of which
    all values are null is text.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, pa.DataType] = {}

    def add(self, items: Iterable[object]) -> None:
        """Look at objects; what is none is left out."""
        columns: dict[str, list[object]] = {}
        for item in items:
            if isinstance(item, dict):
                for name, value in item.items():
                    columns.setdefault(name, []).append(value)
        for name, values in columns.items():
            seen = self._kinds.get(name, pa.null())
            try:
                self._kinds[name] = _wider(seen, pa.infer_type(values))
            except _REFUSALS:
                self._kinds[name] = _one_by_one(seen, values)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return pa.schema([(name, _without_null(kind)) for name, kind in self._kinds.items()])


def to_rows(items: Sequence[object], schema: pa.Schema, first_row: int) -> ReadRows:
    """Columns of objects; one of which a value does not fit, or what is no object, is a bad row.

    Args:
        items: at least one.
        schema: names that an object does not have are null, others are left out.
        first_row: the number of the first.
    """
    kind = pa.struct(list(schema))

    def parse(some: Sequence[object]) -> pa.RecordBatch:
        if not all(isinstance(item, dict) for item in some):
            raise pa.ArrowInvalid("expected a JSON object")
        try:
            columns = pa.array(some, kind)
        except (TypeError, OverflowError, ValueError) as err:
            raise pa.ArrowInvalid(str(err)) from err
        return pa.RecordBatch.from_arrays(columns.flatten(), schema=schema)

    return sift(items, parse, msgspec.json.encode, first_row)


def _one_by_one(kind: pa.DataType, values: Iterable[object]) -> pa.DataType:
    for value in values:
        try:
            kind = _wider(kind, pa.infer_type([value]))
        except _REFUSALS:
            continue
    return kind


def _wider(kind: pa.DataType, other: pa.DataType) -> pa.DataType:
    """A type for values of both.

    Raises:
        pa.ArrowException: there is none.
    """
    if kind == other:
        return kind
    both = [pa.schema([("x", kind)]), pa.schema([("x", other)])]
    return pa.unify_schemas(both, promote_options="permissive").field("x").type


def _without_null(kind: pa.DataType) -> pa.DataType:
    """The type with text where all values were null."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_null(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_null(field.type)) for field in kind])
    return kind
