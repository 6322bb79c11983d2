"""Passage: one batch on its way through the stages of one copy, from threads to threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from penstock.core.errors import DeadlineExceeded, PenstockError
from penstock.core.ids import ServableId
from penstock.runtime.caller import CALLER, Caller
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work, run_safely
from penstock.runtime.python_batch import ColumnsBatch, ItemsBatch
from penstock.runtime.python_runtime import PythonExecutable
from penstock.runtime.python_stage import Stage
from penstock.runtime.staged.stage_threads import StageThreads


class Leg(NamedTuple):
    """Stages in a row that run on the same threads.

    Attributes:
        threads: which.
        stages: at least one.
    """

    threads: StageThreads
    stages: tuple[Stage, ...]


def legs_of(
    stages: Sequence[Stage], apart: dict[str, StageThreads], own: StageThreads
) -> tuple[Leg, ...]:
    """The legs of a copy's stages, in order.

    Args:
        stages: all of them.
        apart: the threads of stages that have their own, by name.
        own: the copy's thread, for all others.
    """
    placed = [(apart.get(stage.name, own), stage) for stage in stages]
    parts = groupby(placed, key=itemgetter(0))
    return tuple(Leg(threads, tuple(stage for _, stage in part)) for threads, part in parts)


class Passage:
    """One batch under way.

    Law: it ends once: after its last leg, with the first error, or at the first leg that begins
    when its deadline is past.

    Args:
        id: of the version.
        executable: the copy that computes it.
        legs: the way.
        work: the batch.
        now_ns: the clock.
        on_end: told how it ended, on whichever thread that is.

    Concurrency: one thread at a time, handed on through the lines of the legs.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        executable: PythonExecutable,
        legs: tuple[Leg, ...],
        work: Work,
        now_ns: Callable[[], int],
        on_end: Callable[[Execution], None],
    ) -> None:
        self._id = id
        self._executable = executable
        self._legs = legs
        self._work = work
        self._now_ns = now_ns
        self._on_end = on_end
        self._started_ns = 0
        self._batch: ColumnsBatch | ItemsBatch | None = None

    def begin(self) -> None:
        """Stand in line for the first leg. Never blocks."""
        self._legs[0].threads.put(partial(self._take, 0))

    def _take(self, index: int) -> None:
        """A leg, on one of its threads."""
        CALLER.set(Caller(self._id, self._work.deadline_ns))
        now_ns = self._now_ns()
        if self._is_late(now_ns):
            self._end(_too_late(self._id), now_ns)
            return
        self._started_ns = self._started_ns or now_ns
        result = run_safely(self._id, partial(self._compute, index))
        if result is None:
            self._legs[index + 1].threads.put(partial(self._take, index + 1))
        else:
            self._end(result, self._now_ns())

    def _compute(self, index: int) -> ExecuteResult | None:
        """The stages of a leg; None: there are further ones."""
        if self._batch is None:
            self._batch = self._executable.begin(self._work.inputs, self._work.parameters)
        for stage in self._legs[index].stages:
            self._batch.run(stage)
        return self._batch.end() if index == len(self._legs) - 1 else None

    def _is_late(self, now_ns: int) -> bool:
        deadline_ns = self._work.deadline_ns
        return deadline_ns is not None and now_ns >= deadline_ns

    def _end(self, result: ExecuteResult | PenstockError, now_ns: int) -> None:
        ended_ns = now_ns if self._started_ns else 0  # as for what never ran
        self._on_end(Execution(result, self._started_ns, ended_ns))


def _too_late(id: ServableId) -> DeadlineExceeded:  # noqa: A002  # as above
    return DeadlineExceeded(
        f"{id} was not through its stages within the time of any request of the batch; give them "
        "more with the 'timeout' parameter, or the stages more threads"
    )
