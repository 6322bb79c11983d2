"""What an engine is: it has the splits of a board done, somehow and somewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from penstock.jobs.batch.board import SplitBoard
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.split_worker import WorkerRecipe, WorkerSettings


class EngineTask(NamedTuple):
    """What an engine is given.

    Attributes:
        parts: the job, as it is open in this process.
        settings: what workers agree on; ``memory_bytes`` and ``copies`` are those of a single
            worker that does all of it in this process.
        board: gives out splits.
        workers: how many at once.
        recipe: from what another process makes a worker; None: the job cannot be sent there.
        hold: the open file by which this process holds the job; others that work on it hold it
            too, so that nobody begins before they are gone.
    """

    parts: JobParts
    settings: WorkerSettings
    board: SplitBoard
    workers: int
    recipe: WorkerRecipe | None
    hold: int


Engine: TypeAlias = Callable[[EngineTask], None]
"""Returns as soon as ``board.is_over``; raises what keeps it from working at all."""
