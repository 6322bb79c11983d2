"""JobRunner: of all processes that have a jobs folder, one runs its jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.app.jobs.served.entry import (
    MAX_STARTS,
    JobEntry,
    died,
    ended,
    lease_of,
    put_back,
    started,
)
from penstock.app.jobs.served.job_book import JobBook
from penstock.app.jobs.served.job_messages import Outcome
from penstock.app.jobs.served.jobs_folder import JobsFolder
from penstock.core.clock import Clock
from penstock.core.errors import NotFound, StoreError

_log = logging.getLogger("penstock.jobs")

RUNNER = "runner"
"""Who changes a job that nobody asks a change of."""

_LOST = "was lost with its server"


class Process(Protocol):
    """A job's process; a ``JobProcess``."""

    async def run(self) -> Outcome | str:
        """Start it, and wait for its end; a text is how it died."""
        ...

    def cancel(self) -> None:
        """Have it end with its batch."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class Leases(Protocol):
    """Who says which process runs the jobs; a ControlStore."""

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """Take a lease, or keep it for longer; False: it is another's."""
        ...

    async def release(self, lease: str, holder: str) -> None:
        """Give a lease back."""
        ...


class RunnerOptions(msgspec.Struct, frozen=True):
    """How a runner works.

    Attributes:
        max_running: jobs at once.
        keep_s: how long a job that has ended is kept, in seconds.
        ttl_s: how long the lease holds, in seconds.
        look_s: how often to look, and to renew the lease, in seconds.
    """

    max_running: int = 1
    keep_s: float = 7 * 24 * 3600.0
    ttl_s: float = 5.0
    look_s: float = 0.5


class JobRunner:
    """Begins jobs, goes on with those of a runner that died, and forgets old ones.

    Law: what a job's folder says of its state decides, not this: two processes that both believe
    to have the lease cannot run one job twice, since its state is held by its process.

    Args:
        book: the jobs.
        leases: the control store.
        folder: the jobs folder.
        launch: makes the process of a job, which is not started yet.
        me: this process' id.
        clock: the time.
        options: how it works.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        book: JobBook,
        leases: Leases,
        folder: JobsFolder,
        launch: Callable[[JobEntry], Process],
        me: str,
        clock: Clock,
        options: RunnerOptions,
    ) -> None:
        self._book = book
        self._leases = leases
        self._folder = folder
        self._launch = launch
        self._me = me
        self._clock = clock
        self._options = options
        self._processes: dict[str, Process] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_leaving = False
        self._fault = ""

    def start(self) -> None:
        """Begin to run jobs."""
        self._task = asyncio.create_task(self._run(), name="jobs")

    def kick(self) -> None:
        """Look at once: something was changed."""
        self._kick.set()

    async def close(self) -> None:
        """Run no more: jobs go back into the queue as they are, for whoever is next."""
        if self._task is None:
            return
        self._is_leaving = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._kill_all()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self._leases.release(lease_of(self._folder.id), self._me)

    async def _run(self) -> None:
        """Look again and again; a store that cannot be asked is told of once."""
        while True:
            try:
                await self.look()
                if self._fault:
                    _log.info("the queue of jobs answers again")
                self._fault = ""
            except StoreError as err:
                if not self._fault:
                    _log.error("no job is begun or ended now: %s", err.message)
                self._fault = err.message
            except Exception:  # noqa: BLE001  # a bug of ours must not end the running
                if not self._fault:
                    _log.exception("jobs cannot be run")
                self._fault = "internal error"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.look_s):
                    await self._kick.wait()
            self._kick.clear()

    async def look(self) -> None:
        """One look at the jobs, if this process has the lease.

        Raises:
            StoreError: the store cannot be asked.
        """
        entries = await self._book.entries()
        if not self._tasks and all(map(self._may_rest, entries)):
            return
        lease = lease_of(self._folder.id)
        if not await self._leases.acquire(lease, self._me, self._options.ttl_s):
            self._kill_all()
            return
        for entry in entries:
            process = self._processes.get(entry.id)
            if process is not None and entry.cancelled_by:
                process.cancel()
        busy = sum(not task.done() for task in self._tasks.values())
        waiting = [one for one in entries if not one.has_ended and one.id not in self._tasks]
        for entry in sorted(waiting, key=lambda one: one.state != "running"):
            if busy < self._options.max_running and await self._begin(entry):
                busy += 1
        await self._forget(entries)

    async def _begin(self, entry: JobEntry) -> bool:
        """Begin a job, or go on with it; False: there is nothing to begin any more."""

        def to(now: JobEntry) -> JobEntry:
            if now.state == "running" and (now.cancelled_by or now.starts >= MAX_STARTS):
                return died(now, _LOST, self._now_ms())
            return now if now.has_ended else started(now, self._now_ms())

        try:
            now = await self._book.change(entry.id, to, "started", RUNNER)
        except NotFound:
            return False
        if now.has_ended:
            return False
        process = self._processes[entry.id] = self._launch(now)
        work = self._attend(now, process)
        self._tasks[entry.id] = asyncio.create_task(work, name=f"job {entry.id}")
        return True

    async def _attend(self, entry: JobEntry, process: Process) -> None:
        """See a job to its end, and write down what became of it."""
        try:
            outcome = await process.run()
            await self._write_end(entry, outcome)
        finally:
            del self._processes[entry.id], self._tasks[entry.id]
            self.kick()

    async def _write_end(self, entry: JobEntry, outcome: Outcome | str) -> None:
        progress = await asyncio.to_thread(self._folder.progress, entry.folder)

        def to(now: JobEntry) -> JobEntry:
            if now.has_ended or now.starts != entry.starts:
                return now
            return msgspec.structs.replace(self._end_of(now, outcome), progress=progress)

        if isinstance(outcome, str) and not self._is_leaving:
            _log.warning("job '%s': its process %s", entry.id, outcome)
        while True:
            try:
                after = await self._book.change(entry.id, to, "ended", RUNNER)
            except NotFound:
                return
            except StoreError:
                if self._is_leaving:
                    return  # whoever is next goes on with it
                await asyncio.sleep(self._options.look_s)
            else:
                _log.info("job '%s': %s %s", entry.id, after.state, after.error)
                return

    def _end_of(self, now: JobEntry, outcome: Outcome | str) -> JobEntry:
        if isinstance(outcome, Outcome):
            return ended(now, outcome.state, self._now_ms(), outcome.error)
        return put_back(now) if self._is_leaving else died(now, outcome, self._now_ms())

    async def _forget(self, entries: list[JobEntry]) -> None:
        """Remove jobs that ended long ago."""
        for entry in entries:
            if entry.has_ended and not self._may_rest(entry):
                with contextlib.suppress(NotFound):
                    await self._book.remove(entry.id, lambda _: None, "kept long enough", RUNNER)
                await asyncio.to_thread(self._folder.remove, entry.folder)

    def _may_rest(self, entry: JobEntry) -> bool:
        """Whether there is nothing to do for a job."""
        kept_until_ms = entry.ended_ms + int(self._options.keep_s * 1000)
        return entry.has_ended and self._now_ms() < kept_until_ms

    def _kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000
