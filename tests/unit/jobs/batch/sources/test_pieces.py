"""Pieces of rows, good and bad."""

from __future__ import annotations

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.pieces import num_bytes, pieces
from penstock.jobs.batch.sources.sift import bad_row


def runs_of(rows: list[str | None], cuts: set[int]) -> list[ReadRows]:
    """Runs of rows, where None is a bad one; row ``n`` holds its text."""
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    runs = []
    for start, stop in itertools.pairwise(edges):
        part = rows[start:stop]
        batch = pa.record_batch({"x": pa.array([r for r in part if r is not None], pa.string())})
        bad = [bad_row(start + n, "no", b"raw") for n, row in enumerate(part) if row is None]
        runs.append(ReadRows(start, batch, bad))
    return runs


ROWS = st.lists(st.none() | st.text("ab", max_size=9), max_size=30)


@given(ROWS, st.sets(st.integers(0, 30)), st.integers(1, 12), st.integers(1, 200))
def test_hold_every_row_once_and_in_order(
    rows: list[str | None], cuts: set[int], max_rows: int, max_bytes: int
) -> None:
    found: list[str | None] = []
    for piece in pieces(runs_of(rows, cuts), max_rows, max_bytes):
        assert piece.first_row == len(found)
        assert 0 < piece.num_rows <= max_rows
        assert piece.num_rows == 1 or num_bytes(piece) <= max_bytes + 4 * piece.num_rows
        bad = {one.row for one in piece.bad}
        good = iter(piece.batch.column(0).to_pylist())
        numbers = range(piece.first_row, piece.first_row + piece.num_rows)
        found.extend(None if number in bad else next(good) for number in numbers)
    assert found == rows


def test_are_as_full_as_may_be() -> None:
    runs = runs_of(["a"] * 10, {3, 4, 9})
    assert [one.num_rows for one in pieces(runs, 4, 10**6)] == [4, 4, 2]
