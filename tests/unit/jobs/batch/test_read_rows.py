"""RowReader: pieces of a split, and what a failure between them changes: nothing."""

from __future__ import annotations

import threading

import pytest

from penstock.core.clock import SystemClock
from penstock.core.errors import JobInputError
from penstock.jobs.batch.parts import Cut
from penstock.jobs.batch.read_rows import Piece, RowReader
from penstock.jobs.batch.split import Split
from penstock.jobs.batch.transform import open_transform
from penstock.testing.fake_batch import FakeSource, numbers_table
from tests.unit.jobs.batch.fake_job import AT_ONCE

AWAY = JobInputError("the store is away", retryable=True)


def pieces(*faults: BaseException | None) -> list[Piece]:
    source = FakeSource({"a": numbers_table(0, 45)}, bad_rows={("a", 12)}, faults=faults)
    cut = Cut(batch_rows=10, piece_rows=10, piece_bytes=1000)
    reader = RowReader(source, open_transform(None), cut, AT_ONCE, SystemClock())
    return list(reader.pieces(Split("a", "1", 5, 45), threading.Event()))


def test_rows_have_their_numbers_within_the_split() -> None:
    first, second, *_ = pieces()
    assert first.rows.numbers.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert [bad.row for bad in first.bad] == [7]
    assert second.rows.numbers.tolist() == list(range(10, 20))
    assert (first.tally.rows_in, first.tally.rows_dead) == (10, 1)


def test_a_read_that_fails_goes_on_with_the_piece_that_is_next() -> None:
    whole = pieces()
    troubled = pieces(None, None, AWAY, None, AWAY)
    assert [one.rows.numbers.tolist() for one in troubled] == [
        one.rows.numbers.tolist() for one in whole
    ]


def test_a_read_that_fails_too_often_is_told() -> None:
    with pytest.raises(JobInputError, match="the store is away"):
        pieces(None, AWAY, AWAY, AWAY)


def test_what_will_not_pass_is_not_tried_again() -> None:
    with pytest.raises(JobInputError, match="cut off"):
        pieces(None, JobInputError("cut off"))
