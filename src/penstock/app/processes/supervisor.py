"""Supervisor: starts the serving processes, and keeps them until the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from pathlib import Path

import msgspec

from penstock.app.processes.handover import Deaths, Go, Handover, ToProcess
from penstock.app.processes.patience import Patience
from penstock.app.processes.sign_off import sign_off
from penstock.app.processes.spawned_process import SpawnedProcess
from penstock.app.stop_signals import stop_event
from penstock.core.errors import LoadFailed, StoreError
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.server.share import socket_path
from penstock.stores.control_store import ControlStore

_log = logging.getLogger("penstock.supervisor")

_DRAIN_MARGIN_S = 8.0
"""What a drain may take beyond its deadline: last answers, models that hang, telemetry."""


class Supervisor:
    """Keeps the serving processes: each has a place, from 1, and comes again when it dies.

    Args:
        common: what every process is told, but for its place.
        drain_timeout_s: how long their drain may take, in seconds.
        count: how many there are.
        store: where a process that died is signed off.
        reaper: ends them if this process dies.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        common: Handover,
        drain_timeout_s: float,
        count: int,
        store: ControlStore,
        reaper: ReaperProcess,
    ) -> None:
        self._common = common
        self._drain_timeout_s = drain_timeout_s
        self._count = count
        self._store = store
        self._reaper = reaper
        self._processes: dict[int, SpawnedProcess] = {}
        self._deaths = 0
        self._has_started = False
        self._stopping = asyncio.Event()

    async def run(self, listening: socket.socket) -> None:
        """Keep them until this process is told to stop.

        Args:
            listening: the HTTP socket, which is closed when the drain begins.

        Raises:
            PenstockError: they do not come up.
        """
        stopped = asyncio.create_task(stop_event().wait(), name="stop")
        keepers = {
            asyncio.create_task(self._keep(number), name=f"keep process {number}")
            for number in range(1, self._count + 1)
        }
        try:
            done, _ = await asyncio.wait({stopped, *keepers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stopped.cancel()
            listening.close()
            await self._end(keepers)

    async def _end(self, keepers: set[asyncio.Task[None]]) -> None:
        """Have all of them drain; kill those that take too long."""
        self._stopping.set()
        for process in self._processes.values():
            process.terminate()
        _, late = await asyncio.wait(keepers, timeout=self._drain_timeout_s + _DRAIN_MARGIN_S)
        if late:
            for process in self._processes.values():
                if process.is_running:
                    _log.warning("serving process %d does not end: killed", process.number)
                    process.kill()
        await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, number: int) -> None:
        """Start the process of a place, again and again; returns when the server stops.

        Raises:
            PenstockError: it does not come up, and there is no use in going on.
        """
        patience = Patience()
        while not self._stopping.is_set():
            process = self._processes[number] = self._next(number)
            how = await process.run()
            if self._stopping.is_set():
                if process.up_s is not None and not process.has_ended_well:
                    _log.error("serving process %d %s while it drained", number, how)
                return
            self._deaths += 1
            self._tell_all(Deaths(self._deaths))
            await self._sign_off(process)
            restart = patience.died(process.up_s)
            self._check_hope(process, patience, how)
            _log.error(
                "serving process %d (pid %d) %s; it is started again in %.1f s",
                number,
                process.pid,
                how,
                restart.delay_s,
            )
            await self._pause(restart.delay_s)

    def _next(self, number: int) -> SpawnedProcess:
        """The next process of a place.

        The first one answers from its first moment, which tells that the server lives. Any other
        waits until the models of all are loaded: who was answered by one is not refused by another.
        """
        told = msgspec.structs.replace(
            self._common,
            number=number,
            id=uuid.uuid4().hex[:12],
            opens_late=number > 1 or self._is_any_up(),
            deaths=self._deaths,
        )
        return SpawnedProcess(told, self._reaper, self._came_up)

    def _came_up(self, process: SpawnedProcess) -> None:
        """Tell it that the start is over, or with the last one, tell all."""
        if self._has_started:
            process.tell(Go(self._count))
        elif sum(one.is_up for one in self._processes.values()) == self._count:
            self._has_started = True
            for number, one in self._processes.items():
                one.tell(Go(self._count, announces=number == 1))

    def _is_any_up(self) -> bool:
        return any(one.is_up for one in self._processes.values())

    def _tell_all(self, message: ToProcess) -> None:
        for process in self._processes.values():
            process.tell(message)

    async def _sign_off(self, process: SpawnedProcess) -> None:
        """The others need not wait for it, nor ask it."""
        _remove(socket_path(Path(self._common.folder), process.number))
        try:
            taken_back = await sign_off(self._store, process.id, process.number)
        except StoreError as err:
            _log.warning("the others wait for process %d in vain: %s", process.number, err.message)
            return
        for subject in taken_back:
            _log.error("%s is taken back: process %d died of it", subject, process.number)

    def _check_hope(self, process: SpawnedProcess, patience: Patience, how: str) -> None:
        """Give up where a process cannot start at all, or none is left that serves."""
        if process.error is not None and not self._has_started:
            raise process.error
        if patience.is_lost and not (self._has_started and self._is_any_up()):
            raise LoadFailed(
                f"the serving processes do not come up: process {process.number} {how}, again and "
                "again; the log says more"
            )

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
