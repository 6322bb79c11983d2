"""A queue of jobs whose processes are pulled by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from penstock.app.jobs.served.entry import JobEntry
from penstock.app.jobs.served.job_book import JobBook
from penstock.app.jobs.served.job_messages import Outcome
from penstock.app.jobs.served.job_runner import JobRunner, RunnerOptions
from penstock.app.jobs.served.jobs_folder import JobsFolder
from penstock.app.jobs.served.served_desk import ServedDesk
from penstock.app.settings import JobsSettings
from penstock.core.errors import NotFound
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_control_store import FakeControlStore


class PuppetProcess:
    """A job's process; it ends when it is told how."""

    def __init__(self, entry: JobEntry) -> None:
        self.entry = entry
        self.is_cancelled = False
        self.end: asyncio.Future[Outcome | str] = asyncio.get_running_loop().create_future()

    async def run(self) -> Outcome | str:
        return await self.end

    def cancel(self) -> None:
        self.is_cancelled = True

    def kill(self) -> None:
        if not self.end.done():
            self.end.set_result("was killed by SIGKILL")


class FakeModels:
    """Serves ``m``, version 3."""

    async def pin(self, name: str, version: str) -> dict[str, Any]:
        if name != "m":
            raise NotFound(f"no model '{name}'")
        return {"path": "/models", "name": name, "version": 3}


class Plant:
    """One serving process with its desk and its runner; several share a folder and a store."""

    def __init__(
        self, path: Path, store: FakeControlStore, settings: JobsSettings, name: str = "p"
    ) -> None:
        self.clock = FakeClock()
        self.folder = JobsFolder(path)
        self.book = JobBook(store, self.folder.id)
        self.launched: list[PuppetProcess] = []
        self.runner = JobRunner(
            self.book,
            store,
            self.folder,
            self._launch,
            name,
            self.clock,
            RunnerOptions(settings.max_running, settings.keep_s, look_s=0.001),
        )
        models: Any = FakeModels()
        self.desk = ServedDesk(
            settings, self.book, self.folder, models, self.runner.kick, self.clock
        )

    def _launch(self, entry: JobEntry) -> PuppetProcess:
        self.launched.append(PuppetProcess(entry))
        return self.launched[-1]

    async def finish(self, process: PuppetProcess, outcome: Outcome | str) -> None:
        """A process ends; returns when that is written down."""
        process.end.set_result(outcome)
        await asyncio.gather(self.runner._tasks[process.entry.id])

    async def folder_turn(self) -> None:
        """Let what waits for the disk or the store go on."""
        await asyncio.to_thread(lambda: None)

    async def state(self, job_id: str) -> str:
        return (await self.desk.show(job_id)).state

    async def submit(self, job_id: str, **more: Any) -> Any:
        self.clock.advance(0.001)
        return await self.desk.submit({**job_in(self.folder.path.parent), **more}, job_id, "ann")


def job_in(folder: Path) -> dict[str, Any]:
    return {
        "model": "m",
        "input": {"format": "csv", "path": f"{folder}/a.csv"},
        "output": {"format": "jsonl", "path": f"{folder}/out"},
    }
