"""The foreground schedule: when jobs run, that missed times are one, and that failures go on."""

from __future__ import annotations

import signal
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from penstock.app.cli.batch_schedule import Timer, run_schedule
from penstock.app.jobs.batch_job import BatchJob
from penstock.core.errors import ConfigError, JobFailed
from penstock.jobs.batch.schedule import Schedule

START = datetime(2026, 3, 1, 12, 0, 0)  # noqa: DTZ001 - local, as cron's


def timer(folder: Path, now: datetime = START) -> Timer:
    return Timer(Schedule("0 2 * * *"), folder / "schedule.json", now)


def test_nothing_is_due_before_its_time(tmp_path: Path) -> None:
    one = timer(tmp_path)
    assert one.due(START + timedelta(hours=13)) is None
    due = one.due(START + timedelta(hours=14))
    assert due == START + timedelta(hours=14)


def test_what_was_missed_while_nothing_ran_is_due_once(tmp_path: Path) -> None:
    one = timer(tmp_path)
    one.ran(START)
    later = START + timedelta(days=3)
    again = timer(tmp_path, later)
    due = again.due(later)
    assert due == datetime(2026, 3, 4, 2)  # noqa: DTZ001
    again.ran(due)
    assert again.due(later) is None
    assert timer(tmp_path, later).due(later) is None


def test_a_first_start_has_missed_nothing(tmp_path: Path) -> None:
    assert timer(tmp_path).due(START) is None


class FakeJob:
    """Fails first, then stops the schedule as Ctrl-C does."""

    def __init__(self, folder: Path, schedule: str | None) -> None:
        self.spec = self
        self.name = "fake"
        self.schedule = schedule
        self.state = folder
        self.runs = 0

    def run(self, *, on_progress: Any, stop: threading.Event) -> Any:
        self.runs += 1
        if self.runs == 2:
            signal.raise_signal(signal.SIGINT)
            assert stop.is_set()
        raise JobFailed("the disk is full")


def test_a_job_that_fails_is_due_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = FakeJob(tmp_path, "* * * * * *")
    times = iter(START + timedelta(seconds=second) for second in range(1000))
    with pytest.raises(KeyboardInterrupt):
        run_schedule({"job.yaml": cast(BatchJob, job)}, lambda: next(times))
    said = capsys.readouterr().err
    assert said.count("job.yaml: failed: the disk is full") == 2
    assert "next at 2026-03-01 12:00" in said


def test_a_job_without_times_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^job.yaml: \$.schedule: missing: when shall it run"):
        run_schedule({"job.yaml": cast(BatchJob, FakeJob(tmp_path, None))})
