"""What runs in the supervisor beside the serving processes, for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from penstock.app.processes.worker_broker import WorkerBroker
from penstock.app.settings import Settings


class Companion(Protocol):
    """Something that the serving processes share and the supervisor owns.

    Attributes:
        name: what the serving processes look it up by.
    """

    name: str

    async def start(self, folder: Path) -> str:
        """Begin, before the first serving process does.

        Args:
            folder: private to this server, removed at its end; short enough for a socket's path.

        Returns:
            what the serving processes are told, such as the path of a socket.

        Raises:
            PenstockError: it cannot; the server does not start.
        """
        ...

    async def close(self) -> None:
        """End, after the last serving process has."""
        ...


def make_companions(settings: Settings) -> list[Companion]:
    """The companions of a server with these settings."""
    return [WorkerBroker(settings.workers)]
