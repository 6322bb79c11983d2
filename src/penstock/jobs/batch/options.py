"""RunOptions: how a batch job is run.

Of all this only the batch size changes what rows are predicted together, which some models show in
the last digits of their answers; and memory and workers, where rows are so large that a piece of
them is bounded by its bytes. So the first run's choice is kept, and all later runs cut the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from penstock.core.clock import Clock, SystemClock
from penstock.jobs.batch.board import BoardOptions
from penstock.jobs.batch.engine import Engine
from penstock.jobs.batch.engine_local import run_local
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.patience import Patience

_GIB = 1024**3


class RunOptions(NamedTuple):
    """How a job is run.

    Attributes:
        name: the job's, for its report.
        output: where it writes to, for its report.
        batch_rows: the most rows that the model is given together; None: the fastest is found by
            trying. A job that was begun goes on with what it began with.
        memory_bytes: what the job's queues and hands may hold, all workers together.
        workers: how many copies of the model.
        readers: how many splits each worker process, or this one, reads at once.
        policy: what it lets pass.
        patience: how often something is tried that may succeed later.
        max_deaths: how many workers may die of one split.
        engine: what has the splits done.
        engine_name: its name, for the report.
        looks_apart: whether the model is tried for its batch size in a process of its own, which
            it may end.
        open_parts: opens the job in another process, for engines that use some; see
            ``WorkerRecipe``. None: it cannot be.
        clock: whose time it takes.
    """

    name: str = "job"
    output: str = ""
    batch_rows: int | None = None
    memory_bytes: int = _GIB
    workers: int = 1
    readers: int = 1
    policy: FailurePolicy = FailurePolicy()
    patience: Patience = Patience()
    max_deaths: int = 3
    engine: Engine = run_local
    engine_name: str = "local"
    looks_apart: bool = False
    open_parts: Callable[[], JobParts] | None = None
    clock: Clock = SystemClock()

    @property
    def board(self) -> BoardOptions:
        """What the board takes of it."""
        return BoardOptions(self.policy, self.patience, self.max_deaths)


DEFAULTS: Final = RunOptions()
