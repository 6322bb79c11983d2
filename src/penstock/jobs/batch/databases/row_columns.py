"""Rows of Python values become Arrow columns; those that do not fit are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.sift import sift

Rows = Sequence[tuple[Any, ...]]

_MOST_ROWS = 4096
_MOST_BYTES = 4 * 1024 * 1024
_STEP_ROWS = 64
_LARGE_STEP_BYTES = 256 * 1024
"""After so much from one step, the next row comes alone."""


def groups(fetch_many: Callable[[int], Rows]) -> Iterator[Rows]:
    """What a cursor gives, at most 4096 rows and about 4 MiB of text and bytes at a time."""
    group: list[tuple[Any, ...]] = []
    size = step = 0
    while rows := fetch_many(1 if step > _LARGE_STEP_BYTES else _STEP_ROWS):
        group += rows
        step = sum(len(cell) for row in rows for cell in row if isinstance(cell, str | bytes))
        size += step
        if len(group) >= _MOST_ROWS or size >= _MOST_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def to_columns(rows: Rows, schema: pa.Schema, first_row: int) -> ReadRows:
    """Columns of rows; a row of which a value does not fit its column's type is bad.

    Args:
        rows: at least one.
        schema: of the columns.
        first_row: the number of the first.
    """
    return sift(rows, partial(_parse, schema=schema), partial(_raw, names=schema.names), first_row)


def _parse(rows: Rows, schema: pa.Schema) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = []
    for cells, field in zip(columns, schema, strict=True):
        try:
            arrays.append(pa.array(cells, field.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as err:
            text = f"column '{field.name}': expected {field.type}, got {_shown(cells, err)}"
            raise pa.ArrowInvalid(text) from err
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _shown(cells: Sequence[Any], err: Exception) -> str:
    return f"{cells[0]!r:.80}" if len(cells) == 1 else str(err)


def _raw(row: tuple[Any, ...], names: Sequence[str]) -> bytes:
    return msgspec.json.encode(dict(zip(names, row, strict=True)), enc_hook=str)
