"""Columns as formats of text can hold them."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pyarrow as pa


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that rows have after ``csv_columns``."""
    kinds = [pa.string() if _is_told(field.type) else _plain(field.type) for field in schema]
    return pa.schema([pa.field(f.name, kind) for f, kind in zip(schema, kinds, strict=True)])


def csv_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows for CSV: lists and mappings as JSON, binary as base64.

    Args:
        batch: the rows.
        schema: ``csv_schema`` of theirs.
    """
    columns = [
        _told(column) if _is_told(column.type) else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def json_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows for JSON: times as text, to their last digit."""
    columns = [
        column.cast(pa.string()) if _is_time(column.type) else column for column in batch.columns
    ]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(
        columns, names=batch.schema.names
    ).to_pylist()
    return rows


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_time(kind))


def _is_told(kind: pa.DataType) -> bool:
    """Whether CSV has no way to write values of this type."""
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    is_binary |= pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)
    return bool(is_binary or pa.types.is_nested(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.string() if pa.types.is_string_view(kind) else kind


def _told(column: pa.Array) -> pa.Array:
    return pa.array([_text(value) for value in column.to_pylist()], pa.string())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return msgspec.json.encode(value).decode()
