"""SharedWorkers: the host of all worker processes, made when the first one is needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from penstock.app.settings import WorkerSettings
from penstock.core.errors import LoadFailed
from penstock.core.servable import InferenceClient

if TYPE_CHECKING:
    from penstock.runtime.process.worker_host import WorkerHost
    from penstock.runtime.process.worker_source import WorkerSupply

WORKERS: Final = "workers"
"""What the supervisor of several serving processes calls the broker of their workers."""


class SharedWorkers:
    """What worker processes share. A server without them makes and imports nothing.

    Law: there is one host at most, and none after ``close``.

    Args:
        settings: of the workers.
        client: how their models call other models.
        broker: the Unix socket of the broker that starts them for several serving processes; "":
            they are this process's own.
        num_processes: how many serving processes share the machine's memory.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        client: InferenceClient,
        broker: str = "",
        num_processes: int = 1,
    ) -> None:
        self._settings = settings
        self._client = client
        self._broker = broker
        self._num_processes = num_processes
        self._lock = threading.Lock()
        self._host: WorkerHost | None = None
        self._is_closed = False

    def host(self) -> WorkerHost:
        """The host.

        Raises:
            LoadFailed: the server has ended.

        Concurrency: any thread.
        """
        with self._lock:
            if self._is_closed:
                raise LoadFailed("the server is shutting down: no worker is started any more")
            if self._host is None:
                self._host = self._make()
            return self._host

    async def close(self) -> None:
        """End every worker that is left. Event loop's thread."""
        with self._lock:
            self._is_closed = True
        if self._host is not None:
            await self._host.close()

    def _make(self) -> WorkerHost:
        from penstock.runtime.process.shared_memory import SharedMemoryBudget
        from penstock.runtime.process.worker_host import WorkerHost

        max_bytes = self._settings.shared_memory_max_bytes // self._num_processes
        budget = SharedMemoryBudget(max_bytes)
        num_sharing = self._num_processes if self._broker else 1
        return WorkerHost(self._client, budget, self._supply(), num_sharing)

    def _supply(self) -> WorkerSupply:
        start_timeout_s = self._settings.start_timeout_s
        if self._broker:
            from penstock.runtime.broker.shared_source import SharedSupply

            return SharedSupply(self._broker, start_timeout_s)
        from penstock.runtime.process.reaper_process import ReaperProcess
        from penstock.runtime.process.worker_keeper import LocalSupply

        return LocalSupply(ReaperProcess(), start_timeout_s)
