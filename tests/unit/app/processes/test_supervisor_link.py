"""A serving process' end of the channel to its supervisor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.app.processes.handover import Failed, Ping, Pong, ToSupervisor, line
from penstock.app.processes.supervisor_link import SupervisorLink
from penstock.core.errors import ConfigError


class Supervisor:
    """The other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def heard(self) -> ToSupervisor:
        async with asyncio.timeout(5):
            text = await self._reader.readline()
        message: ToSupervisor = msgspec.json.decode(text, type=ToSupervisor)
        return message


@pytest.fixture
async def link_and_supervisor() -> AsyncIterator[tuple[SupervisorLink, Supervisor]]:
    ours, theirs = socket.socketpair()
    link = await SupervisorLink.open(theirs.detach())
    supervisor = Supervisor(*await asyncio.open_unix_connection(sock=ours))
    yield link, supervisor
    await link.close()
    supervisor.writer.close()


async def test_it_says_that_it_lives(
    link_and_supervisor: tuple[SupervisorLink, Supervisor],
) -> None:
    link, supervisor = link_and_supervisor
    link.listen(lambda _: None, lambda: None)
    for _ in range(3):
        supervisor.writer.write(line(Ping()))
        assert await supervisor.heard() == Pong()


async def test_a_long_error_fits_into_a_line(
    link_and_supervisor: tuple[SupervisorLink, Supervisor],
) -> None:
    link, supervisor = link_and_supervisor
    await link.failed(ConfigError("\0" * 100_000))
    message = await supervisor.heard()
    assert isinstance(message, Failed)
    assert message.kind == "ConfigError"
    assert set(message.message) == {"\0"}
