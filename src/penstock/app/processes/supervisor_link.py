"""SupervisorLink: a serving process' end of the channel to its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import msgspec

from penstock.app.processes.handover import (
    Deaths,
    Failed,
    Go,
    Handover,
    Ping,
    Pong,
    ToProcess,
    ToSupervisor,
    Up,
    line,
)
from penstock.core.errors import Internal, PenstockError

_MAX_LINE_BYTES = 64 * 1024 * 1024
_MAX_MESSAGE = 10_000
"""Characters of an error: six bytes each at the most, in a line of 64 KiB."""


class SupervisorLink:
    """Tells the supervisor how far this process is, and hears what it says.

    Attributes:
        is_lost: whether the supervisor is gone.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_lost = False
        self._reader = reader
        self._writer = writer
        self._go: asyncio.Future[Go] = asyncio.get_running_loop().create_future()
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, fd: int) -> SupervisorLink:
        """Take over the inherited descriptor of the channel."""
        channel = socket.socket(fileno=fd)
        channel.set_inheritable(False)
        return cls(*await asyncio.open_unix_connection(sock=channel, limit=_MAX_LINE_BYTES))

    async def handover(self) -> Handover:
        """What the supervisor says first."""
        message = await self._read()
        if not isinstance(message, Handover):
            raise Internal("the supervisor is gone, or said something else than was expected")
        return message

    def listen(self, on_deaths: Callable[[int], None], on_lost: Callable[[], None]) -> None:
        """Hear what it says from now on.

        Args:
            on_deaths: told how many serving processes have died so far.
            on_lost: told when the supervisor is gone.
        """
        self._listening = asyncio.create_task(self._listen(on_deaths, on_lost), name="supervisor")

    async def up(self) -> Go:
        """Say that this process has come up, and wait until all have."""
        self._say(Up())
        return await asyncio.shield(self._go)

    async def failed(self, error: PenstockError) -> None:
        """Say why this process ends."""
        self._say(Failed(type(error).__name__, error.message[:_MAX_MESSAGE]))
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        """Hear and say no more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()

    async def _listen(self, on_deaths: Callable[[int], None], on_lost: Callable[[], None]) -> None:
        while (message := await self._read()) is not None:
            if isinstance(message, Go) and not self._go.done():
                self._go.set_result(message)
            elif isinstance(message, Deaths):
                on_deaths(message.count)
            elif isinstance(message, Ping):
                self._say(Pong())
        self.is_lost = True
        on_lost()

    async def _read(self) -> ToProcess | None:
        """The next message; None: the supervisor is gone."""
        try:
            text = await self._reader.readline()
        except OSError:
            return None
        if not text.endswith(b"\n"):
            return None
        message: ToProcess = msgspec.json.decode(text, type=ToProcess)
        return message

    def _say(self, message: ToSupervisor) -> None:
        self._writer.write(line(message))
