"""retry_dead: rows that live now are written as if they had never failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import JobFailed, JobOutputError
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.retry_dead import retry_dead
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.status import read_status
from penstock.testing.fake_batch import FakePredictors, FakeSink, FakeSource
from tests.unit.jobs.batch.fake_job import OPTIONS, fake_job, tables

LENIENT = OPTIONS._replace(policy=FailurePolicy(max_rate=1.0))


def untroubled(folder: Path) -> FakeSink:
    sink = FakeSink()
    run_job(fake_job(folder / "untroubled", sink=sink), LENIENT)
    return sink


def test_the_end_is_as_if_no_row_had_failed(tmp_path: Path) -> None:
    sink, state = FakeSink(), tmp_path / "state"
    sick = FakePredictors(poison={17.0, 600.0}, refused={20.0})
    run_job(fake_job(state, sink=sink, model=sick), LENIENT)

    report = retry_dead(fake_job(state, sink=sink), LENIENT)

    expected = untroubled(tmp_path)
    assert sink.parts == expected.parts
    assert sink.summary == expected.summary
    assert report.tally.rows_dead == 0
    assert report.done_before == 7
    assert list((state / "dead").iterdir()) == []


def test_parts_of_which_no_row_lives_are_left_alone(tmp_path: Path) -> None:
    sink = FakeSink()
    sick = FakePredictors(poison={17.0, 600.0})
    run_job(fake_job(tmp_path, sink=sink, model=sick), LENIENT)
    before = dict(sink.parts)
    sick.poison.discard(600.0)
    sick.batches.clear()

    report = retry_dead(fake_job(tmp_path, sink=sink, model=sick), LENIENT)

    assert (report.tally.rows_dead, report.dead_tried, report.dead_again) == (1, 2, 1)
    assert sum(sick.batches) == 2 + 100  # the two dead rows, and the one part that is done again
    changed = {name for name in before if sink.parts[name] != before[name]}
    assert len(changed) == 1

    sick.batches.clear()
    again = retry_dead(fake_job(tmp_path, sink=sink, model=sick), LENIENT)
    assert sick.batches == [1]
    assert again.done_before == 9
    assert (again.dead_tried, again.dead_again) == (1, 1)


def test_rows_that_cannot_be_read_stay_dead(tmp_path: Path) -> None:
    sink, model = FakeSink(), FakePredictors()
    source = FakeSource(tables(), bad_rows={("f0", 3)})
    run_job(fake_job(tmp_path, source, sink, model), LENIENT)
    model.batches.clear()

    report = retry_dead(fake_job(tmp_path, source, sink, model), LENIENT)

    assert report.tally.rows_dead == 1
    assert model.batches == []


def test_stopped_half_way_it_is_gone_on_with(tmp_path: Path) -> None:
    state = tmp_path / "state"
    sink = FakeSink()
    sick = FakePredictors(poison={17.0, 600.0})
    run_job(fake_job(state, sink=sink, model=sick), LENIENT)
    full = FakeSink({"commit": [None, JobOutputError("full")]})
    full.parts = sink.parts

    with pytest.raises(JobOutputError):
        retry_dead(fake_job(state, sink=full), LENIENT)
    assert read_status(state).done == 8
    run_job(fake_job(state, sink=sink), LENIENT)

    assert sink.parts == untroubled(tmp_path).parts


def test_a_job_that_was_never_run_has_no_dead(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="no job was run here"):
        retry_dead(fake_job(tmp_path), LENIENT)
