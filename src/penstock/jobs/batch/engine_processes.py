"""Engine ``processes``: whole splits in processes of their own, which may die.

A worker asks for a split while it still predicts the last one, so that it always has one to read.
One that was under way when a worker died is done alone, so that nobody is blamed for another's.
It holds the job together with the runner, and ends as soon as the runner does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import msgspec

from penstock.core.errors import ConfigError, JobFailed
from penstock.core.exit_status import in_words
from penstock.jobs.batch.engine import EngineTask
from penstock.jobs.batch.split_worker import WorkerRecipe
from penstock.jobs.batch.work import Work
from penstock.jobs.batch.worker_process import (
    Broken,
    DoneWith,
    Given,
    Halt,
    Ready,
    Seen,
    SharedHold,
    Wants,
    work_until_told,
)
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_in

_LOOK_S = 0.1
_END_S = 10.0
_MAX_DEATHS_AT_START = 3


def run_in_processes(task: EngineTask) -> None:
    """Do it in ``task.workers`` processes: an ``Engine``. Blocks.

    Raises:
        ConfigError: the job cannot be sent to a process.
        PenstockError: the model does not load there.
        JobFailed: workers die while they start, or break.
    """
    if task.recipe is None:
        raise ConfigError(
            "engine processes: what opens the job cannot be sent to another process; use the "
            "engine local, or build the job from a file"
        )
    settings = msgspec.structs.replace(
        task.settings, memory_bytes=task.settings.memory_bytes // task.workers, copies=1
    )
    pool = _Pool(task, WorkerRecipe(task.recipe.open_parts, settings))
    try:
        pool.run()
    finally:
        pool.close()


class _Worker:
    """A process, and what it was given."""

    def __init__(self, recipe: WorkerRecipe, hold: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=work_until_told,
            args=(theirs, recipe, SharedHold(hold)),
            name="penstock-job-worker",
        )
        self.process.start()
        theirs.close()
        self.under_way: dict[str, Work] = {}
        self.is_ready = False
        self.wants = 0

    @property
    def is_kept_alone(self) -> bool:
        """Whether it does a split that was given out before, and is to have no other beside."""
        return any(work.attempt > 1 for work in self.under_way.values())

    def tell(self, message: object) -> None:
        """Send; one that is dead is found out elsewhere."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def messages(self) -> Iterator[Any]:
        """What it has sent by now."""
        with contextlib.suppress(EOFError, OSError):
            while self.connection.poll():
                yield self.connection.recv()

    def end(self, patience_s: float) -> None:
        """Wait for its end, then make it."""
        self.process.join(patience_s)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


class _Pool:
    """The workers of one run."""

    def __init__(self, task: EngineTask, recipe: WorkerRecipe) -> None:
        self._board = task.board
        self._recipe = recipe
        self._hold = task.hold
        self._deaths_at_start = 0
        self._num_workers = task.workers
        self._workers: list[_Worker] = []

    def run(self) -> None:
        """Give out work until there is none."""
        for _ in range(self._num_workers):
            self._workers.append(_Worker(self._recipe, self._hold))
        while not self._board.is_over:
            ends: list[Connection | int] = [one.connection for one in self._workers]
            ends += [one.process.sentinel for one in self._workers]
            wait(ends, _LOOK_S)
            for worker in list(self._workers):
                is_dead = not worker.process.is_alive()  # before: what it sent last is read then
                for message in worker.messages():
                    self._hear(worker, message)
                if is_dead:
                    self._bury(worker)
                self._feed(worker)

    def close(self) -> None:
        """End all workers: by their own hand, or, after ``_END_S`` for all of them, as they are."""
        last: object = Halt() if self._board.stop.is_set() else Given(None)
        for worker in self._workers:
            worker.tell(last if self._board.is_over else Halt())
        until_s = time.monotonic() + _END_S
        for worker in self._workers:
            worker.end(max(0.0, until_s - time.monotonic()) if worker.is_ready else 0.0)

    def _hear(self, worker: _Worker, message: object) -> None:
        match message:
            case Ready(error=None):
                worker.is_ready = True
                self._deaths_at_start = 0
            case Ready(error=WireError() as error) | Broken(error=error):
                raise error_in(error)
            case Wants():
                worker.wants += 1
            case Seen(work=work, rows=rows, dead=dead):
                self._board.seen(work, rows, dead)
            case DoneWith(work=work, outcome=outcome):
                del worker.under_way[work.id]
                if isinstance(outcome, WireError):
                    self._board.failed(work, error_in(outcome))
                else:
                    self._board.done(work, outcome)

    def _feed(self, worker: _Worker) -> None:
        """Give it a split for each of its wants. One that has failed before, or was under way when
        a worker died, is done alone: so it is known who died of it, and it takes nobody along.
        """
        while worker.wants and not worker.is_kept_alone:
            work = self._board.take(0.0)
            if work is None:
                return
            if work.attempt > 1 and worker.under_way:
                self._board.give_back(work)
                return
            worker.wants -= 1
            worker.under_way[work.id] = work
            worker.tell(Given(work))

    def _bury(self, worker: _Worker) -> None:
        """A worker died: what it had is given to others, and another one takes its place.

        Raises:
            JobFailed: they die before they have loaded the model.
        """
        self._workers.remove(worker)
        worker.wants = 0
        worker.end(0.0)
        why = f"a worker process {in_words(worker.process.exitcode or 0)}"
        if not worker.is_ready:
            self._deaths_at_start += 1
            if self._deaths_at_start >= _MAX_DEATHS_AT_START:
                raise JobFailed(
                    f"engine processes: {self._deaths_at_start} workers in a row died before they "
                    f"had loaded the model; the last: {why}; what is done stays done: mend what "
                    f"ends them (an exit in the model's code, a crash of a library, too little "
                    f"memory), then run the job again"
                )
        for work in worker.under_way.values():
            self._board.lost(work, why)
        self._workers.append(_Worker(self._recipe, self._hold))
