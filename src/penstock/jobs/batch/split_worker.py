"""SplitWorker: does splits, by itself; and the recipe from which another process makes one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import pyarrow as pa

from penstock.core.clock import SystemClock
from penstock.core.errors import Cancelled, PenstockError
from penstock.jobs.batch.parts import Cut, JobParts, room_for
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.pipeline import Pipeline, Stages
from penstock.jobs.batch.work import Desk, SplitOutcome, Work
from penstock.jobs.predictor import Predictor, Predictors


class WorkerSettings(msgspec.Struct, frozen=True):
    """What all workers of a job agree on. Picklable.

    Attributes:
        cut: how rows are cut.
        schema: of the rows that are predicted, as Arrow's IPC format has it.
        memory_bytes: what one worker may hold.
        copies: copies of the model in one worker, a thread each.
        readers: how many splits it reads at once.
        patience: how often something is tried again.
    """

    cut: Cut
    schema: bytes
    memory_bytes: int
    copies: int = 1
    readers: int = 1
    patience: Patience = Patience()


class SplitWorker:
    """Does splits: reads, predicts and writes them, with copies of the model of its own.

    Args:
        parts: the job; it is the caller's.
        settings: see there.

    Raises:
        ConfigError: the memory is too little, or the output's columns are wrong.
        LoadFailed: the model does not load.
    """

    def __init__(self, parts: JobParts, settings: WorkerSettings) -> None:
        room = room_for(settings.cut, settings.memory_bytes, settings.copies, settings.readers)
        schema = pa.ipc.read_schema(pa.py_buffer(settings.schema))
        self._parts = parts
        self._stages = Stages(
            parts,
            parts.open_outputs(schema),
            settings.cut,
            room,
            settings.patience,
            SystemClock(),
            settings.readers,
        )
        self._predictors = _open_copies(parts.predictors, settings.copies)

    def run(self, work: Work) -> SplitOutcome:
        """Do one split. Blocks.

        Raises:
            PenstockError: it failed; nothing of it is in the output.
        """
        desk = _OneSplit(work)
        self.serve(desk)
        return desk.outcome()

    def serve(self, desk: Desk) -> None:
        """Do what a desk gives out, the next split begun before the last is written. Blocks.

        Raises:
            Exception: a bug of ours, or of a library.
        """
        Pipeline(self._stages, self._predictors, desk).run()

    def close(self) -> None:
        """Give the copies of the model back."""
        for predictor in self._predictors:
            predictor.close()


class WorkerRecipe(NamedTuple):
    """From what another process makes a worker. Picklable where ``open_parts`` is.

    Attributes:
        open_parts: opens the job there: a function of a module, or a ``partial`` of one.
        settings: see ``SplitWorker``.
    """

    open_parts: Callable[[], JobParts]
    settings: WorkerSettings

    def make(self) -> OwnWorker:
        """A worker that closes the job's parts with itself.

        Raises:
            PenstockError: see ``SplitWorker``, and what opens the parts.
        """
        return OwnWorker(self.open_parts(), self.settings)


class OwnWorker(SplitWorker):
    """A worker whose parts are its own."""

    def __init__(self, parts: JobParts, settings: WorkerSettings) -> None:
        with ExitStack() as opened:
            opened.callback(parts.close)
            super().__init__(parts, settings)
            opened.pop_all()

    def close(self) -> None:
        """Give everything back."""
        super().close()
        self._parts.close()


class _OneSplit:
    """A desk with one split."""

    def __init__(self, work: Work) -> None:
        self.stop = threading.Event()
        self._left: list[Work] = [work]
        self._outcome: SplitOutcome | PenstockError = Cancelled("the split was left")

    def take(self) -> Work | None:
        """The split, once; several readers may ask."""
        try:
            return self._left.pop()
        except IndexError:
            return None

    def seen(self, work: Work, rows: int, dead: int) -> None:
        """Nobody asks."""

    def done(self, work: Work, outcome: SplitOutcome) -> None:
        """Keep it."""
        self._outcome = outcome

    def failed(self, work: Work, error: PenstockError) -> None:
        """Keep it."""
        self._outcome = error

    def outcome(self) -> SplitOutcome:
        """What came of it.

        Raises:
            PenstockError: it failed.
        """
        if isinstance(self._outcome, PenstockError):
            raise self._outcome
        return self._outcome


def _open_copies(predictors: Predictors, count: int) -> list[Predictor]:
    copies: list[Predictor] = []
    with ExitStack() as opened:
        for _ in range(count):
            copy = predictors.open()
            opened.callback(copy.close)
            copies.append(copy)
        opened.pop_all()
    return copies
