"""RayWorker: what an actor of the engine ``ray`` is, on whichever node. Knows nothing of Ray."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Self, TypeAlias

from penstock.core.errors import ConfigError, Internal, PenstockError
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.split_worker import OwnWorker, WorkerRecipe
from penstock.jobs.batch.work import SplitOutcome, Work
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_out

Answer: TypeAlias = SplitOutcome | WireError
"""What came of a split; an error as a value, for not every one can be pickled."""


class RayWorker:
    """Does the splits that it is given, two or more at once: one is predicted, one is read.

    Args:
        recipe: from what it is made.
        folder: the driver's, which relative paths in the job are of.
        state: the job's state folder.
    """

    def __init__(self, recipe: WorkerRecipe, folder: str, state: str) -> None:
        self._recipe = recipe
        self._folder = Path(folder)
        self._state = Path(state)
        self._desk = _Desk()
        self._serving: threading.Thread | None = None

    def start(self) -> WireError | None:
        """Load what splits need; not in the constructor, whose errors look like a death."""
        if self._folder.is_dir():
            os.chdir(self._folder)
        try:
            self._check_shared()
            worker = self._recipe.make()
        except PenstockError as err:
            return error_out(err)
        self._serving = threading.Thread(
            target=self._serve, args=(worker,), name="penstock-job-serve", daemon=True
        )
        self._serving.start()
        return None

    def run(self, work: Work) -> Answer:
        """Do a split, after ``start``. Blocks; several threads may call it."""
        return self._desk.give(work).result()

    def close(self) -> None:
        """Give back what the splits needed, when those that it was given are done. Blocks."""
        self._desk.end()
        if self._serving is not None:
            self._serving.join()

    def _check_shared(self) -> None:
        """Dead letters that are written to a node's own disk would be lost.

        Raises:
            ConfigError: the job's state is not here.
        """
        if not self._state.is_dir():
            raise ConfigError(
                f"state: {self._state} is not there on the node {socket.gethostname()}: engine ray "
                "needs a folder that all nodes share"
            )

    def _serve(self, worker: OwnWorker) -> None:
        with self._desk, contextlib.closing(worker):  # a bug goes on to the log of this process
            worker.serve(self._desk)


class _Desk:
    """A ``Desk`` of what the driver sends. Somebody works at it within a ``with`` statement."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._given: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._answers: dict[str, Future[Answer]] = {}
        self._left: WireError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Nobody works any more."""
        why = broken(error).message if isinstance(error, Exception) else "its log says why"
        self._left = error_out(Internal(f"a worker stopped in the middle of a split: {why}"))
        self._refuse(self._left)

    def give(self, work: Work) -> Future[Answer]:
        """What will come of it."""
        answer = self._answers[work.id] = Future[Answer]()
        self._given.put(work)
        if self._left is not None:
            self._refuse(self._left)
        return answer

    def end(self) -> None:
        """No more is given."""
        self._given.put(None)

    def take(self) -> Work | None:
        """See ``Desk.take``."""
        work = self._given.get()
        if work is None:
            self._given.put(None)  # whoever else asks
        return work

    def seen(self, work: Work, rows: int, dead: int) -> None:
        """The driver counts splits."""

    def done(self, work: Work, outcome: SplitOutcome) -> None:
        """See ``Desk.done``."""
        self._answers.pop(work.id).set_result(outcome)

    def failed(self, work: Work, error: PenstockError) -> None:
        """See ``Desk.failed``."""
        self._answers.pop(work.id).set_result(error_out(error))

    def _refuse(self, error: WireError) -> None:
        with contextlib.suppress(KeyError):  # all are answered
            while True:
                self._answers.popitem()[1].set_result(error)
