"""``penstock batch schedule``: jobs at their times, in the foreground."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from penstock.app.cli.batch_progress import showing
from penstock.app.cli.options import say
from penstock.core.errors import Cancelled, ConfigError, PenstockError
from penstock.jobs.batch.durable import make_folder, write_whole
from penstock.jobs.batch.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.app.jobs.batch_job import BatchJob

_LOOK_S = 60.0
"""The longest wait: the machine's clock may be set, or sleep."""

_FILE = "schedule.json"


class Timer:
    """When one job is due.

    Args:
        schedule: its times.
        file: where the time of its last run is kept, so that one which was missed meanwhile is
            known.
        now: the time when it is first looked at.
    """

    def __init__(self, schedule: Schedule, file: Path, now: datetime) -> None:
        self._schedule = schedule
        self._file = file
        self._last = _read(file) or now

    def due(self, now: datetime) -> datetime | None:
        """The time for which the job has to run now; None: there is none."""
        return self._schedule.due(self._last, now)

    def next_after(self, now: datetime) -> datetime:
        """The next time that will come."""
        return self._schedule.after(now)

    def ran(self, due: datetime) -> None:
        """It ran for a time, well or not.

        Raises:
            JobOutputError: that cannot be written down.
        """
        self._last = due
        make_folder(self._file.parent)
        write_whole(self._file, msgspec.json.encode(due))


def run_schedule(jobs: Mapping[str, BatchJob], now: Callable[[], datetime] = datetime.now) -> None:
    """Run jobs at their times.

    Args:
        jobs: by the names of their files.
        now: the local time.

    Raises:
        ConfigError: a job has no schedule, or one that is none.
        KeyboardInterrupt: it was stopped.
    """
    from penstock.app.jobs.stopping import stopping

    timers = {file: _timer(file, job, now()) for file, job in jobs.items()}
    for file, timer in timers.items():
        say(f"{file}: next at {timer.next_after(now()):%Y-%m-%d %H:%M:%S}")
    with stopping() as stop:
        while not stop.is_set():
            for file, timer in timers.items():
                due = timer.due(now())
                if due is not None and not stop.is_set():
                    _run(file, jobs[file], stop)
                    timer.ran(due)
                    say(f"{file}: next at {timer.next_after(now()):%Y-%m-%d %H:%M:%S}")
            at = now()
            left_s = min((one.next_after(at) - at).total_seconds() for one in timers.values())
            stop.wait(min(left_s, _LOOK_S))
    raise KeyboardInterrupt


def _timer(file: str, job: BatchJob, now: datetime) -> Timer:
    if job.spec.schedule is None:
        raise ConfigError(
            f"{file}: $.schedule: missing: when shall it run? '0 2 * * *' is every night at two"
        )
    return Timer(Schedule(job.spec.schedule), job.state / _FILE, now)


def _run(file: str, job: BatchJob, stop: threading.Event) -> None:
    """Run a job; what it fails with is told, and the next time is another chance."""
    from penstock.app.cli.batch_tables import report_lines
    from penstock.app.cli.options import print_lines

    try:
        with showing(job.spec.name, quiet=False) as show:
            report = job.run(on_progress=show, stop=stop)
    except Cancelled as err:
        say(f"{file}: {err.message}")
    except PenstockError as err:
        say(f"{file}: failed: {err.message}")
    else:
        print_lines(*report_lines(report, str(job.state)))


def _read(file: Path) -> datetime | None:
    """The time of the last run; None: it is not known."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=datetime)
    except (OSError, msgspec.MsgspecError):
        return None
