"""What may become of a job in the queue."""

from __future__ import annotations

import msgspec
import pytest

from penstock.app.jobs.served import entry as rules
from penstock.app.jobs.served.entry import MAX_STARTS, JobEntry
from penstock.core.errors import FailedPrecondition
from penstock.server.jobs_api.answers import JobProgress
from penstock.server.share import is_job, job_subject

SPEC = {"name": "n", "model": {"name": "m", "version": 3}, "output": {"path": "/out"}}
QUEUED = JobEntry("a", "job-1", "d", SPEC, is_upload=False)
RUNNING = rules.started(QUEUED, 10)


def with_state(entry: JobEntry, state: str) -> JobEntry:
    return msgspec.structs.replace(entry, state=state)


def test_a_start_is_counted_and_the_first_one_is_remembered() -> None:
    again = rules.started(RUNNING, 20)
    assert (RUNNING.state, RUNNING.starts, RUNNING.started_ms) == ("running", 1, 10)
    assert (again.starts, again.started_ms) == (2, 10)


def test_a_job_that_was_put_back_has_lost_no_start() -> None:
    back = rules.put_back(RUNNING)
    assert (back.state, back.starts) == ("queued", 0)


def test_a_job_whose_process_dies_is_begun_again_until_it_has_done_so_too_often() -> None:
    entry = QUEUED
    for _ in range(MAX_STARTS - 1):
        entry = rules.died(rules.started(entry, 1), "was killed", 2)
        assert entry.state == "queued"
    entry = rules.died(rules.started(entry, 1), "was killed by SIGKILL", 2)
    assert (entry.state, entry.ended_ms) == ("failed", 2)
    assert "was killed by SIGKILL; it was begun 5 times" in entry.error


def test_a_job_that_dies_while_it_is_cancelled_is_cancelled() -> None:
    asked = rules.cancelled(RUNNING, "ann", 5)
    assert rules.died(asked, "exited", 6).state == "cancelled"


def test_cancelling_in_each_state() -> None:
    at_once = rules.cancelled(QUEUED, "ann", 5)
    assert (at_once.state, at_once.cancelled_by, at_once.ended_ms) == ("cancelled", "ann", 5)
    asked = rules.cancelled(RUNNING, "ann", 5)
    assert (asked.state, asked.cancelled_by, asked.ended_ms) == ("running", "ann", 0)
    assert rules.cancelled(asked, "bob", 6) == asked
    assert rules.cancelled(at_once, "bob", 6) == at_once
    for state in ("done", "failed"):
        with pytest.raises(FailedPrecondition, match=f"it is {state}"):
            rules.cancelled(with_state(RUNNING, state), "ann", 5)


def test_only_what_is_done_has_a_result() -> None:
    rules.check_done(rules.ended(RUNNING, "done", 9))
    with pytest.raises(FailedPrecondition, match="no result yet: it is queued"):
        rules.check_done(QUEUED)
    with pytest.raises(FailedPrecondition, match="no result: it is failed: no column"):
        rules.check_done(rules.ended(RUNNING, "failed", 9, "no column"))


def test_what_a_client_is_told() -> None:
    told = rules.answer_of(rules.cancelled(RUNNING, "ann", 5), JobProgress(rows=7))
    assert (told.model, told.version, told.output) == ("m", 3, "/out")
    assert told.is_cancelling
    assert told.progress.rows == 7
    upload = msgspec.structs.replace(QUEUED, is_upload=True)
    assert rules.answer_of(upload, JobProgress()).output == ""


def test_a_subject_is_of_one_folder() -> None:
    subject = job_subject("p1", "a")
    assert subject == "job/p1/a"
    assert is_job(subject)
    assert rules.job_of("p1", subject) == "a"
    assert rules.job_of("p", subject) is None
    assert rules.job_of("p1", "model/a") is None
