"""Reads sources in the tests: all rows of all splits, with the law of their numbers checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from penstock.jobs.batch.source import BadRow, BatchSource
from penstock.jobs.batch.sources.open_files import open_file_source
from penstock.jobs.batch.spec_inputs import FileInput
from penstock.jobs.batch.split import Split

MAX_BYTES = 64 * 1024 * 1024


class AllRows(NamedTuple):
    """What a source gave.

    Attributes:
        good: rows as dicts, in order.
        bad: the bad ones, in order.
        marked: all of them in order: a dict, or the raw bytes of a bad one.
        sizes: how many rows each piece had.
    """

    good: list[dict[str, Any]]
    bad: list[BadRow]
    marked: list[dict[str, Any] | bytes]
    sizes: list[int]


def opened(spec: FileInput, split_rows: int = 1000) -> BatchSource:
    """The source of a spec."""
    return open_file_source(spec, split_rows)


def read_all(source: BatchSource, max_rows: int = 1000, max_bytes: int = MAX_BYTES) -> AllRows:
    """Every row of every split."""
    return read_splits(source, source.plan(), max_rows, max_bytes)


def read_splits(
    source: BatchSource,
    splits: Iterator[Split] | list[Split],
    max_rows: int = 1000,
    max_bytes: int = MAX_BYTES,
) -> AllRows:
    """Every row of some splits; each piece follows the last, and is of the schema."""
    found = AllRows([], [], [], [])
    schema = source.schema()
    for split in splits:
        row = 0
        for piece in source.read(split, max_rows, max_bytes):
            assert piece.first_row == row
            assert 0 < piece.num_rows <= max_rows
            assert piece.batch.schema.equals(schema)
            piece.batch.validate(full=True)
            row += piece.num_rows
            bad = {one.row: one for one in piece.bad}
            assert [one.row for one in piece.bad] == sorted(bad)
            good = iter(piece.batch.to_pylist())
            numbers = range(piece.first_row, piece.first_row + piece.num_rows)
            assert set(bad) <= set(numbers)
            found.marked.extend(bad[n].raw if n in bad else next(good) for n in numbers)
            found.good.extend(piece.batch.to_pylist())
            found.bad.extend(piece.bad)
            found.sizes.append(piece.num_rows)
    return found
