"""How a batch job is shown while it runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from penstock.jobs.batch.progress import OnProgress, Progress

_LINE_EVERY_S: Final = 10.0


class Pace:
    """Rows per second and time left, from what this run has seen.

    Args:
        now_s: the time, in seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._started_s = now_s()

    def describe(self, progress: Progress) -> str:
        """``1,234 of 10 rows`` and so on, in one line."""
        spent_s = max(self._now_s() - self._started_s, 1e-9)
        rate = (progress.rows - progress.rows_before) / spent_s
        parts = [
            f"{progress.splits_done:,} of {progress.splits:,} splits",
            f"{progress.rows:,} rows",
            f"{rate:,.0f} rows/s",
        ]
        left = _rows_left(progress)
        if rate > 0 and left > 0:
            parts.append(f"about {duration(left / rate)} left")
        parts.append(f"{progress.rows_dead:,} dead")
        return ", ".join(parts)


def _rows_left(progress: Progress) -> float:
    """How many rows are to come, if splits are as long as those that are done; 0: not known."""
    if not progress.splits_done:
        return 0.0
    return progress.rows_settled / progress.splits_done * progress.splits - progress.rows


def duration(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class PlainLines:
    """A line to standard error every ten seconds.

    Args:
        say: prints a line.
        now_s: the time, in seconds.
    """

    def __init__(
        self, say: Callable[[str], None], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._now_s = now_s
        self._pace = Pace(now_s)
        self._next_s = now_s() + _LINE_EVERY_S

    def show(self, progress: Progress) -> None:
        """Take what is told."""
        text = self._pace.describe(progress)
        if self._now_s() >= self._next_s:
            self._next_s = self._now_s() + _LINE_EVERY_S
            self._say(text)


@contextlib.contextmanager
def showing(name: str, *, quiet: bool) -> Iterator[OnProgress]:
    """Show a job under way on standard error, so that standard output stays the result's.

    Args:
        name: the job's.
        quiet: show nothing.
    """
    if quiet:
        yield _nothing
    elif not sys.stderr.isatty():
        from penstock.app.cli.options import say

        yield PlainLines(say).show
    else:
        with _bar(name) as show:
            yield show


@contextlib.contextmanager
def _bar(name: str) -> Iterator[OnProgress]:
    from rich import progress as bars

    from penstock.app.cli.options import console

    columns = (
        bars.TextColumn("{task.fields[name]}"),
        bars.BarColumn(bar_width=20),
        bars.TextColumn("{task.description}"),
    )
    pace = Pace()
    with bars.Progress(*columns, console=console(sys.stderr), transient=True) as shown:
        task = shown.add_task("looking at the input", total=None, name=name)

        def show(progress: Progress) -> None:
            shown.update(
                task,
                description=pace.describe(progress),
                total=progress.splits,
                completed=progress.splits_done,
            )

        yield show


def _nothing(progress: Progress) -> None:
    """Nobody looks."""
