"""SqliteExperimentLog: the experiment log of the processes of one machine, in one file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from penstock.core.clock import Clock, SystemClock
from penstock.stores import experiment_log_statements as sql
from penstock.stores.experiment_log import (
    ExperimentTally,
    Exposure,
    PredictionOutcome,
    Recorded,
    too_many_aside,
)
from penstock.stores.experiment_log_pruning import Pruning
from penstock.stores.sqlite_lane import SqliteLane

T = TypeVar("T")

_NAME = "the experiment log"
"""In errors, which clients read: no path of this machine."""

_AT_ONCE = 16


class SqliteExperimentLog:
    """An ``ExperimentLog`` in a SQLite file, in WAL mode; the first call makes it.

    What a call has returned from survives ``kill -9`` of any process; a machine that loses its
    power may lose the last moments.

    Args:
        path: the file; its folder must be there.
        clock: where time comes from, the wall clock being shared by the processes; None: the
            machine's.

    Concurrency: on the event loop that uses it. The constructor opens nothing.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._path = path.absolute()
        clock = clock or SystemClock()
        self._wall_ns = clock.wall_ns
        self._pruning = Pruning(self._forget_piece, clock.monotonic_ns)
        self._reader = SqliteLane(_NAME, self._connect)
        self._writer = SqliteLane(_NAME, self._connect)
        self._turns = {lane: asyncio.Semaphore(_AT_ONCE) for lane in (self._reader, self._writer)}

    async def expose(
        self, exposures: Sequence[Exposure], dropped: Mapping[str, int] | None = None
    ) -> None:
        """See ``ExperimentLog.expose``."""
        now_ms = self._now_ms()
        await self._run(self._writer, lambda db: sql.expose(db, exposures, dropped or {}, now_ms))
        await self._pruning.turn()

    async def record(self, outcomes: Sequence[PredictionOutcome]) -> Recorded:
        """See ``ExperimentLog.record``."""
        now_ms = self._now_ms()
        done, num_refused = await self._run(
            self._writer, lambda db: sql.record(db, outcomes, now_ms)
        )
        await self._pruning.turn()
        if num_refused:
            raise too_many_aside(num_refused, len(outcomes))
        return done

    async def tally(self, experiment: str, *, by_prediction: bool = False) -> ExperimentTally:
        """See ``ExperimentLog.tally``."""
        return await self._run(
            self._reader, lambda db: sql.tally(db, experiment, by_prediction=by_prediction)
        )

    async def close(self) -> None:
        """See ``ExperimentLog.close``. Waits for what is at hand."""
        await self._writer.close()
        await self._reader.close()

    async def _forget_piece(self) -> bool:
        now_ms = self._now_ms()
        return await self._run(self._writer, lambda db: sql.prune(db, now_ms))

    async def _run(self, lane: SqliteLane, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._turns[lane]:  # wait in line: a lane refuses what is too much for it
            return await lane.run(work)

    def _connect(self) -> sqlite3.Connection:
        return sql.connect(self._path)

    def _now_ms(self) -> int:
        return self._wall_ns() // 1_000_000
