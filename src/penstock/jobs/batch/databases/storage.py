"""Arrow columns as databases store them: fewer types, and JSON for what is nested."""

from __future__ import annotations

import msgspec
import pyarrow as pa
from pyarrow import types

from penstock.core.errors import JobFailed


def storable(kind: pa.DataType, *, lists: bool) -> pa.DataType:
    """The type that values of an Arrow type are stored as.

    Whole numbers keep their values: what has no signed type of its size gets a wider one.
    Timestamps are in microseconds; what is nested is JSON text.

    Args:
        kind: the type.
        lists: whether lists of simple values are stored as lists.
    """
    if types.is_dictionary(kind):
        return storable(kind.value_type, lists=lists)
    if isinstance(kind, pa.BaseExtensionType):
        return storable(kind.storage_type, lists=lists)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        if not lists or types.is_nested(kind.value_type):
            return pa.string()
        return pa.list_(storable(kind.value_type, lists=False))
    return _SIMPLE.get(kind) or _by_family(kind)


_SIMPLE = {
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.null(): pa.string(),
    pa.date64(): pa.date32(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def _by_family(kind: pa.DataType) -> pa.DataType:
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if types.is_time(kind):
        return pa.time64("us")
    if types.is_duration(kind):
        return pa.int64()
    if types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_nested(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    return kind


def store(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows with types that are storable.

    Args:
        batch: rows.
        schema: of the same columns; what ``Database.storable`` makes of each type.

    Raises:
        JobFailed: a value has no place in the type; names the column.
    """
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        try:
            columns.append(_convert(column, field.type))
        except (pa.ArrowException, ValueError, TypeError) as err:
            text = (str(err).splitlines() or [""])[0][:200]
            raise JobFailed(f"column '{field.name}' cannot be stored: {text}") from err
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _convert(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_nested(column.type) and not types.is_nested(kind):
        return pa.array([_json(value) for value in column.to_pylist()], pa.string())
    if types.is_timestamp(column.type):  # nanoseconds are cut
        unit = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        return unit.cast(kind)
    return column.cast(kind)


def _json(value: object) -> str | None:
    """A nested value as JSON; NaN and infinity are null there."""
    return None if value is None else msgspec.json.encode(value, enc_hook=str).decode()
