"""Whether too many rows are dead. Pure, but for the counter.

Where ``m`` is ``max_rate`` times the rows so far, a job under way is stopped at more than
``m + 4 sqrt(m) + 10`` dead ones: ten early ones end no job, nor does chance end one whose rate is
what it may be. With a ``max_rate`` of 0 the first dead row ends it. At the end the rate holds
exactly: more than ``m`` are too many.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Final

from penstock.core.errors import JobFailed
from penstock.jobs.batch.dead import DEAD

EARLY_DEAD: Final = 10
_SIGMAS: Final = 4


def too_many_dead(dead: int, rows: int, max_rate: float, *, is_end: bool) -> bool:
    """Whether a job has to stop.

    Law: where it says so of a job under way, the rate of the rows up to then is above
    ``max_rate``; a job that never had to stop and whose last rate is at most ``max_rate`` is fine.

    Args:
        dead: rows that are dead letters, so far.
        rows: rows that were tried, the dead among them.
        max_rate: the largest share of dead rows that is let pass, from 0 to 1.
        is_end: whether these are all rows of the job.
    """
    allowed = max_rate * rows
    if not is_end and max_rate > 0:
        allowed += _SIGMAS * math.sqrt(allowed) + EARLY_DEAD
    return dead > allowed


def check_dead(dead: int, rows: int, max_rate: float, state: Path, *, is_end: bool) -> None:
    """Stop a job of which too many rows are dead.

    Args:
        dead: see ``too_many_dead``.
        rows: see there.
        max_rate: see there.
        state: the job's state folder, which has the dead letters.
        is_end: see there.

    Raises:
        JobFailed: they are too many; the message says how many, and what to do.
    """
    if too_many_dead(dead, rows, max_rate, is_end=is_end):
        raise JobFailed(
            f"{dead} of {rows} rows could not be predicted, more than on_error.max_rate "
            f"{max_rate:g} lets pass; {state}/{DEAD} says why, for the splits that are done. They "
            f"stay done when the job is run again: raise max_rate to let these rows pass; where "
            f"the cause is mended outside of the job, 'penstock batch retry-dead' tries them "
            f"again; another model or input starts over, with --fresh"
        )


class DeadCount:
    """Counts rows of splits that are done, and of those under way. Any thread.

    Args:
        rows, dead: of the splits that earlier runs have done.
    """

    def __init__(self, rows: int = 0, dead: int = 0) -> None:
        self._settled = (rows, dead)
        self._under_way: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    @property
    def settled_rows(self) -> int:
        """Rows of the splits that are done."""
        with self._lock:
            return self._settled[0]

    def seen(self, split_id: str, rows: int, dead: int) -> None:
        """So many more rows of a split came to their end."""
        with self._lock:
            old_rows, old_dead = self._under_way.get(split_id, (0, 0))
            self._under_way[split_id] = (old_rows + rows, old_dead + dead)

    def settled(self, split_id: str, rows: int, dead: int) -> None:
        """A split is done, with so many rows."""
        with self._lock:
            self._under_way.pop(split_id, None)
            self._settled = (self._settled[0] + rows, self._settled[1] + dead)

    def forget(self, split_id: str) -> None:
        """What was seen of a split counts no more: it failed, or begins again."""
        with self._lock:
            self._under_way.pop(split_id, None)

    def total(self) -> tuple[int, int]:
        """Rows and dead ones, of all splits."""
        with self._lock:
            rows, dead = self._settled
            return (
                rows + sum(one[0] for one in self._under_way.values()),
                dead + sum(one[1] for one in self._under_way.values()),
            )
