"""Connections of a socket, taken many in a turn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvloop

from penstock.server.acceptor import Acceptor

_CROWD = 100


class _Protocol(asyncio.Protocol):
    def __init__(self, came: asyncio.Queue[asyncio.BaseTransport]) -> None:
        self._came = came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._came.put_nowait(transport)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as one:
        yield one


@contextlib.asynccontextmanager
async def _accepting(listening: Any) -> AsyncIterator[asyncio.Queue[asyncio.BaseTransport]]:
    came: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
    acceptor = Acceptor(listening, lambda: _Protocol(came))
    try:
        yield came
    finally:
        acceptor.close()
        await acceptor.wait_closed()


def test_a_crowd_is_taken_within_a_few_turns_of_the_loop(listening: socket.socket) -> None:
    """Not one a turn: the turns are long where those that are there are served in each."""

    async def turns() -> int:
        async with _accepting(listening) as came:
            crowd = [socket.create_connection(listening.getsockname()) for _ in range(_CROWD)]
            count = 0
            while came.qsize() < _CROWD:
                count += 1
                await asyncio.sleep(0)
            while not came.empty():
                came.get_nowait().close()
            for client in crowd:
                client.close()
            return count

    assert uvloop.run(turns()) < 20


async def test_without_descriptors_it_waits_and_goes_on(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        """A socket that has no descriptor left, once."""

        is_full = True
        fileno, setblocking = listening.fileno, listening.setblocking

        def accept(self) -> tuple[socket.socket, object]:
            if self.is_full:
                self.is_full = False
                raise OSError(errno.EMFILE, "too many open files")
            return listening.accept()

    monkeypatch.setattr("penstock.server.acceptor._NO_ROOM_WAIT_S", 0.01)
    async with _accepting(Full()) as came, asyncio.timeout(5):
        with socket.create_connection(listening.getsockname()):
            (await came.get()).close()
    assert "no connection can be taken: too many open files" in caplog.text


async def test_one_that_is_closed_takes_no_more(listening: socket.socket) -> None:
    async with _accepting(listening):
        pass
    with socket.create_connection(listening.getsockname()):
        async with _accepting(listening) as came, asyncio.timeout(5):
            (await came.get()).close()
