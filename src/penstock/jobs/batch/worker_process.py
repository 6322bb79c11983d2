"""A worker process of the engine ``processes``; and what it and the runner tell each other."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any, NamedTuple, NoReturn

from penstock.core.errors import PenstockError
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.split_worker import WorkerRecipe
from penstock.jobs.batch.work import SplitOutcome, Work
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_out
from penstock.runtime.process.worker_signals import leave_the_end_to_the_server
from penstock.telemetry.repeated_errors import RepeatedErrors

AT_ONCE = 2
"""How many splits a worker has begun and not ended: one that it predicts, one that it reads."""

_LOOK_S = 0.1


class Ready(NamedTuple):
    """It is loaded, or never will be."""

    error: WireError | None = None


class Broken(NamedTuple):
    """It ends, and so would each other one: it is a bug."""

    error: WireError


class Wants(NamedTuple):
    """It has a hand free for a split."""


class Seen(NamedTuple):
    """Rows came to their end."""

    work: Work
    rows: int
    dead: int


class DoneWith(NamedTuple):
    """A split came to its end."""

    work: Work
    outcome: SplitOutcome | WireError


class Given(NamedTuple):
    """What the runner answers: a split, or None: there are no more."""

    work: Work | None


class Halt(NamedTuple):
    """What the runner says: leave everything."""


class SharedHold:
    """The open file that holds the job, handed to a process that is about to be spawned."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __getstate__(self) -> Any:
        return DupFd(self.handle)

    def __setstate__(self, state: Any) -> None:
        self.handle = state.detach()


def work_until_told(connection: Connection, recipe: WorkerRecipe, hold: SharedHold) -> None:
    """The life of a worker process.

    Args:
        connection: to the runner; its end is the process's.
        recipe: from what the worker is made.
        hold: kept open as long as the process lives.
    """
    leave_the_end_to_the_server()  # signals are the runner's; it tells us
    logging.getLogger("penstock.runtime").addFilter(RepeatedErrors())  # each half fails alike
    desk = _PipeDesk(connection)
    try:
        _work(desk, recipe)
    except Exception as err:  # noqa: BLE001  # the runner tells of it, in words
        desk.send(Broken(error_out(broken(err, "a worker process"))))
    del hold


def _work(desk: _PipeDesk, recipe: WorkerRecipe) -> None:
    try:
        worker = recipe.make()
    except PenstockError as err:
        desk.send(Ready(error_out(err)))
        return
    desk.send(Ready())
    try:
        worker.serve(desk)
    finally:
        worker.close()


class _PipeDesk:
    """A desk whose other side is the runner's. Any thread."""

    def __init__(self, connection: Connection) -> None:
        self.stop = threading.Event()
        self._connection = connection
        self._sending = threading.Lock()
        self._taking = threading.Lock()
        self._hands = threading.Semaphore(AT_ONCE)
        self._given: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="penstock-job-listen", daemon=True).start()

    def take(self) -> Work | None:
        """See ``Desk.take``."""
        with self._taking:
            while not self._hands.acquire(timeout=_LOOK_S):
                if self.stop.is_set():
                    return None
            self.send(Wants())
            work = self._next()
            if work is None:
                self._given.put(None)  # whoever else asks
                self._hands.release()
            return work

    def _next(self) -> Work | None:
        """What the runner gives; None, too, where all is left as it is."""
        while not self.stop.is_set():
            with contextlib.suppress(queue.Empty):
                return self._given.get(timeout=_LOOK_S)
        return None

    def seen(self, work: Work, rows: int, dead: int) -> None:
        """See ``Desk.seen``."""
        self.send(Seen(work, rows, dead))

    def done(self, work: Work, outcome: SplitOutcome) -> None:
        """See ``Desk.done``."""
        self.send(DoneWith(work, outcome))
        self._hands.release()

    def failed(self, work: Work, error: PenstockError) -> None:
        """See ``Desk.failed``."""
        self.send(DoneWith(work, error_out(error)))
        self._hands.release()

    def send(self, message: object) -> None:
        """Tell the runner."""
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            self._end()

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                self._end()
            if isinstance(message, Given):
                self._given.put(message.work)
            else:
                self.stop.set()
                self._given.put(None)
                self._hands.release()

    def _end(self) -> NoReturn:
        """The runner is dead: nothing is lost, and the job is to be free."""
        os._exit(1)
