"""Workers of a Ray cluster that write a file for each split, and die where they are told to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from penstock.core.errors import JobInputError, LoadFailed, PenstockError
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.split_worker import WorkerSettings
from penstock.jobs.batch.work import Desk, SplitOutcome, Work


class PartRecipe(NamedTuple):
    """What makes a worker, as a ``WorkerRecipe`` does.

    Attributes:
        folder: where parts are written, and ``log``: a line for each split begun.
        seconds: how long a split takes.
        poison: the source whose worker is killed.
        broken: the source that cannot be read.
        dies_at_start: whether the process dies while it loads.
        dying: which of the processes do so, in the order in which they begin to load: when all of
            these have begun, or a split was.
        load_error: what the load says.
        bug: what else the load raises.
        settings: its share of the job.
    """

    folder: str
    seconds: float = 0.0
    poison: str = ""
    broken: str = ""
    dies_at_start: bool = False
    dying: range = range(0)
    load_error: str = ""
    bug: str = ""
    settings: WorkerSettings | None = None

    def make(self) -> PartWorker:
        if self.dies_at_start:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.dying:
            self._start_or_die(Path(self.folder))
        if self.load_error:
            raise LoadFailed(self.load_error)
        if self.bug:
            raise ValueError(self.bug)
        return PartWorker(self)

    def _start_or_die(self, folder: Path) -> None:
        number = 0
        while (begun := folder / f"start-{number}").exists() or not _made(begun):
            number += 1
        if number in self.dying:
            last = folder / f"start-{self.dying.stop - 1}"
            while not (last.exists() or (folder / "log").exists()):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def _made(path: Path) -> bool:
    """Whether the file is made by this process, and no other."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class PartWorker:
    """Writes what a split is called into a file of this name."""

    def __init__(self, recipe: PartRecipe) -> None:
        self._recipe = recipe
        self._folder = Path(recipe.folder)

    def serve(self, desk: Desk) -> None:
        while (work := desk.take()) is not None:
            try:
                desk.done(work, self._run(work))
            except PenstockError as err:
                desk.failed(work, err)

    def _run(self, work: Work) -> SplitOutcome:
        split = work.split
        with (self._folder / "log").open("a") as log:
            log.write(f"{split.source} {os.getpid()}\n")
        if split.source == self._recipe.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        if split.source == self._recipe.broken:
            raise JobInputError(f"{split.source}: expected a file, got none")
        time.sleep(self._recipe.seconds)
        part = self._folder / f"part-{split.source}"
        part.with_suffix(".tmp").write_text(split.source)
        part.with_suffix(".tmp").replace(part)
        return SplitOutcome(SplitTally(rows_in=1, rows_out=1), Receipt(1))

    def close(self) -> None:
        with (self._folder / "closed").open("a") as closed:
            closed.write(f"{os.getpid()}\n")
