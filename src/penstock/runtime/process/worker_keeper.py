"""WorkerKeeper: keeps one worker process alive, with patience that ends."""

from __future__ import annotations

import asyncio
import logging

from penstock.core.errors import LoadFailed, NotReady, PenstockError
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.model_fault import log_fields
from penstock.runtime.process.frame import Loaded
from penstock.runtime.process.live_worker import LiveWorker
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.runtime.process.resident import resident_bytes
from penstock.runtime.process.restart_policy import next_restart
from penstock.runtime.process.worker_options import WorkerOptions, worker_options
from penstock.runtime.process.worker_source import ASKED, WorkerOwner

_log = logging.getLogger("penstock.runtime")

_CLOSE_TIMEOUT_S = 10.0
_PING_INTERVAL_S = 5.0
_PING_TIMEOUT_S = 10.0
_LOOK_INTERVAL_S = 0.5


class WorkerKeeper:
    """A ``WorkerSource`` whose workers are children of this process.

    Args:
        artifact: what they load.
        options: how they are started and held to account.
        reaper: who ends them if we cannot.
        owner: told what becomes of them.

    Concurrency: the event loop's thread.
    """

    is_elsewhere = False
    ends_hangs = False

    def __init__(
        self,
        artifact: ArtifactRef,
        options: WorkerOptions,
        reaper: ReaperProcess,
        owner: WorkerOwner,
    ) -> None:
        self._artifact = artifact
        self._id = artifact.id
        self._options = options
        self._reaper = reaper
        self._owner = owner
        self._worker: LiveWorker | None = None
        self._crashes_in_a_row = 0
        self._is_up = False
        self._is_closed = False
        self._hurry = asyncio.Event()
        self._revival: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """See ``WorkerSource.pid``."""
        return 0 if self._worker is None else self._worker.pid

    def has_begun(self, batch: int) -> bool:
        """Always: only one batch is sent to it."""
        return batch > 0

    async def start(self) -> Loaded:
        """See ``WorkerSource.start``."""
        loaded = await self._start_worker()
        name = f"penstock look {self._id}"
        self._look = asyncio.get_running_loop().create_task(self._look_after(), name=name)
        return loaded

    def kill(self, why: str) -> None:
        """See ``WorkerSource.kill``."""
        if self._worker is not None:
            self._is_up = False
            self._owner.lost()
            self._worker.kill(why)

    def answered(self) -> None:
        """See ``WorkerSource.answered``."""
        self._crashes_in_a_row = 0

    def hurry(self) -> None:
        """Start the next worker now, if that waits for its time."""
        self._hurry.set()

    async def close(self, timeout_s: float, why: str = ASKED) -> None:
        """See ``WorkerSource.close``."""
        self._is_closed = True
        self._is_up = False
        tasks = [task for task in (self._revival, self._look) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._worker is not None:
            await self._worker.close(timeout_s, why)

    async def _start_worker(self) -> Loaded:
        worker = LiveWorker(
            self._artifact,
            self._options,
            self._reaper,
            self._owner,
            on_end=lambda why: self._ended(worker, why),
        )
        self._worker = worker
        try:
            loaded = await worker.start()
        except LoadFailed:
            if not worker.pid:  # there never was one, so none will end
                self._worker = None
                self._crashes_in_a_row += 1
            raise
        self._check_alive()
        self._is_up = True
        return loaded

    def _check_alive(self) -> None:
        limit_bytes = self._options.max_memory_bytes
        if limit_bytes and (used_bytes := resident_bytes(self.pid)) > limit_bytes:
            raise LoadFailed(
                f"{self._id}: its worker holds {used_bytes >> 20} MiB after loading the model, its "
                f"max_memory is {limit_bytes >> 20} MiB"
            )
        if self._worker is None:
            raise LoadFailed(
                f"{self._id}: its worker died as soon as it had loaded the model", retryable=True
            )

    def _ended(self, worker: LiveWorker, why: str) -> None:
        """The worker is gone."""
        if self._worker is not worker:
            return
        self._worker = None
        self._is_up = False
        if not self._is_closed:
            self._crashes_in_a_row += 1
            _log.error("%s: its worker died: %s", self._id, why, extra=log_fields(self._id))
            if self._look is not None and (self._revival is None or self._revival.done()):
                self._revival = asyncio.get_running_loop().create_task(
                    self._revive(why), name=f"penstock revival {self._id}"
                )
        self._owner.ended(why)

    async def _revive(self, why: str) -> None:
        """Start workers until one is up; between them wait longer and longer."""
        while True:
            await self._wait_turn(why)
            try:
                loaded = await self._start_worker()
            except Exception as err:  # noqa: BLE001  # whatever it is, the copy has to come back
                why = err.message if isinstance(err, PenstockError) else repr(err)
                if self._worker is not None:
                    await self._worker.close(_CLOSE_TIMEOUT_S, why)
                _log.warning("%s: a new worker: %s", self._id, why, extra=log_fields(self._id))
                continue
            _log.info("%s: a new worker is ready", self._id, extra=log_fields(self._id))
            self._owner.up(loaded)
            return

    async def _wait_turn(self, why: str) -> None:
        restart = next_restart(self._crashes_in_a_row, self._options.restart)
        if restart.is_quarantined:
            fault = self._quarantine(restart.delay_s, why)
            _log.error("%s", fault.message, extra=log_fields(self._id))
            self._owner.faulted(fault)
        self._hurry.clear()
        try:
            await asyncio.wait_for(self._hurry.wait(), restart.delay_s)
        except TimeoutError:
            return

    def _quarantine(self, delay_s: float, why: str) -> NotReady:
        return NotReady(
            f"{self._id} is in quarantine: its worker died {self._crashes_in_a_row} times in a row "
            f"without answering once, last because {why}. It is tried again in {delay_s:g} s; load "
            "the model again to try it now",
            retry_after_s=delay_s,
        )

    async def _look_after(self) -> None:
        """Kill a worker that outgrows its memory, is overdue, or is idle and does not answer."""
        since_ping_s = 0.0
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            worker = self._worker
            if worker is None:
                continue
            why = self._outgrown(worker) or self._owner.overdue()
            if why:
                self.kill(why)
            since_ping_s += _LOOK_INTERVAL_S
            if since_ping_s >= _PING_INTERVAL_S and self._is_up and not self._owner.is_busy:
                since_ping_s = 0.0
                if not await worker.ping(_PING_TIMEOUT_S):
                    self.kill(f"it did not answer a ping within {_PING_TIMEOUT_S:g} s")

    def _outgrown(self, worker: LiveWorker) -> str:
        limit_bytes = self._options.max_memory_bytes
        if not limit_bytes or (used_bytes := resident_bytes(worker.pid)) <= limit_bytes:
            return ""
        return (
            f"it used {used_bytes >> 20} MiB of memory, its max_memory is {limit_bytes >> 20} MiB"
        )


class LocalSupply:
    """A ``WorkerSupply`` of workers that this process starts for itself.

    Args:
        reaper: who ends them if we cannot.
        start_timeout_s: how long one may take to load its model.
    """

    def __init__(self, reaper: ReaperProcess, start_timeout_s: float = 300.0) -> None:
        self._reaper = reaper
        self.start_timeout_s = start_timeout_s

    def source(self, artifact: ArtifactRef, index: int, owner: WorkerOwner) -> WorkerKeeper:
        """See ``WorkerSupply.source``."""
        options = worker_options(artifact, index, self.start_timeout_s)
        return WorkerKeeper(artifact, options, self._reaper, owner)

    def close(self) -> None:
        """Nothing is left: the reaper ends with the last worker."""
