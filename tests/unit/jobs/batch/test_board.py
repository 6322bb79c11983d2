"""SplitBoard: what is given out, to whom, and what follows of failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.clock import SystemClock
from penstock.core.errors import Cancelled, JobFailed, JobInputError, JobOutputError, PenstockError
from penstock.jobs.batch.board import BoardOptions, SplitBoard
from penstock.jobs.batch.failure_policy import FailurePolicy, Fate, fate_of
from penstock.jobs.batch.journal import Journal
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.split import Split
from penstock.jobs.batch.work import SplitOutcome, Work

AT_ONCE = Patience(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)
TODO = [Work(Split(name, "1"), name) for name in "abc"]


def outcome(rows: int = 10, dead: int = 0) -> SplitOutcome:
    tally = SplitTally(rows_in=rows, rows_out=rows - dead, rows_dead=dead)
    return SplitOutcome(tally, Receipt(rows - dead))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.jsonl")
    yield journal
    journal.close()


def board_of(journal: Journal, **policy: object) -> SplitBoard:
    options = BoardOptions(FailurePolicy(**policy), AT_ONCE, max_deaths=2)  # type: ignore[arg-type]
    return SplitBoard(TODO, journal, options, SystemClock())


def take(board: SplitBoard) -> Work:
    work = board.take(0.0)
    assert work is not None
    return work


def test_each_split_is_given_out_once_and_journaled(journal: Journal) -> None:
    board = board_of(journal)
    works = [take(board) for _ in range(3)]
    assert works == TODO
    assert board.take(0.0) is None
    assert not board.is_over
    for work in works:
        board.done(work, outcome())
    assert board.take() is None
    assert board.is_over
    assert list(journal.done) == ["a", "b", "c"]
    assert board.progress()[:4] == (3, 3, 30, 0)
    board.check()


def test_a_part_that_could_not_be_written_comes_again_until_it_is_enough(
    journal: Journal,
) -> None:
    board = board_of(journal)
    busy = JobOutputError("busy", retryable=True)
    first = take(board)
    board.failed(first, busy)
    again = take(board)
    assert (again.id, again.attempt) == ("a", 2)
    board.failed(again, busy)
    last = take(board)
    assert last.attempt == 3
    board.failed(last, busy)
    assert board.stop.is_set()
    with pytest.raises(JobOutputError, match="busy"):
        board.check()


def test_a_bad_file_lets_those_under_way_come_to_their_end(journal: Journal) -> None:
    board = board_of(journal)
    first, second = take(board), take(board)
    board.failed(first, JobInputError("cut off"))
    assert board.take(0.0) is None
    assert not board.stop.is_set()
    assert not board.is_over
    board.done(second, outcome())
    assert board.is_over
    assert list(journal.done) == ["b"]
    with pytest.raises(JobInputError, match="cut off"):
        board.check()


def test_a_bad_file_is_left_out_where_that_is_wanted(journal: Journal) -> None:
    board = board_of(journal, bad_files="skip")
    board.failed(take(board), JobInputError("cut off"))
    for _ in range(2):
        board.done(take(board), outcome())
    assert board.is_over
    assert list(journal.skipped) == ["a"]
    board.check()


def test_a_split_of_which_workers_die_ends_the_job_at_last(journal: Journal) -> None:
    board = board_of(journal)
    for _ in range(3):
        assert not board.stop.is_set()
        work = take(board)  # before those that nobody has tried
        assert work.id == "a"
        board.lost(work, "SIGKILL")
    with pytest.raises(JobFailed, match=r"a: 3 workers died .*the last: SIGKILL"):
        board.check()


def test_rows_of_an_attempt_that_failed_are_not_counted(journal: Journal) -> None:
    board = board_of(journal, max_rate=0.5)
    work = take(board)
    board.seen(work, 30, 10)
    assert board.progress().rows_dead == 10
    board.failed(work, JobOutputError("busy", retryable=True))
    assert board.progress()[:4] == (3, 0, 0, 0)
    again = take(board)
    board.seen(again, 30, 10)
    board.done(again, outcome(30, 10))
    assert board.progress()[:4] == (3, 1, 30, 10)
    board.check()


def test_too_many_dead_rows_stop_at_once(journal: Journal) -> None:
    board = board_of(journal, max_rate=0.1)
    work = take(board)
    board.seen(work, 20, 17)
    assert not board.stop.is_set()
    board.seen(work, 1, 1)
    assert board.stop.is_set()
    assert board.take() is None
    with pytest.raises(JobFailed, match="18 of 21 rows"):
        board.check()


def test_what_is_cancelled_says_how_far_it_is(journal: Journal) -> None:
    board = board_of(journal)
    board.done(take(board), outcome())
    board.cancel()
    with pytest.raises(Cancelled, match="1 of 3 splits are done"):
        board.check()


@pytest.mark.parametrize(
    ("error", "attempt", "bad_files", "expected"),
    [
        (JobOutputError("x", retryable=True), 1, "fail", Fate.AGAIN),
        (JobOutputError("x", retryable=True), 3, "fail", Fate.STOP),
        (JobOutputError("x"), 1, "fail", Fate.STOP),
        (JobInputError("x"), 1, "fail", Fate.LAST),
        (JobInputError("x"), 1, "skip", Fate.SKIP),
        (JobInputError("x", retryable=True), 1, "skip", Fate.STOP),
        (JobFailed("x"), 1, "skip", Fate.STOP),
    ],
)
def test_what_follows_of_an_error(
    error: PenstockError, attempt: int, bad_files: str, expected: Fate
) -> None:
    policy = FailurePolicy(bad_files=bad_files)  # type: ignore[arg-type]
    assert fate_of(error, attempt, 3, policy) is expected
