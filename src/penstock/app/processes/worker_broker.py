"""WorkerBroker: the companion that starts the models' worker processes for all serving ones."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.app.settings import WorkerSettings
from penstock.app.shared_workers import WORKERS

if TYPE_CHECKING:
    from penstock.runtime.broker.broker import Broker


class WorkerBroker:
    """A ``Companion``. Until a model wants a worker it is a socket, and imports nothing.

    Args:
        settings: of the workers.
    """

    name = WORKERS

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._broker: Broker | None = None
        self._unused: socket.socket | None = None

    async def start(self, folder: Path) -> str:
        """See ``Companion.start``; serving processes are told the path of its socket."""
        path = str(folder / "workers.sock")
        listening = self._unused = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        asyncio.get_running_loop().add_reader(listening.fileno(), self._open, listening)
        return path

    async def close(self) -> None:
        """See ``Companion.close``."""
        if self._unused is not None:
            asyncio.get_running_loop().remove_reader(self._unused.fileno())
            self._unused.close()
        if self._broker is not None:
            await self._broker.close()

    def _open(self, listening: socket.socket) -> None:
        """Somebody comes: from now on the broker listens."""
        from penstock.runtime.broker.broker import Broker

        asyncio.get_running_loop().remove_reader(listening.fileno())
        self._unused = None
        self._broker = Broker(self._settings.start_timeout_s)
        self._broker.listen(listening)
