"""Connections of one socket, taken by several."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from penstock.server.shared_acceptor import SharedAcceptor


class Taker:
    """One process' end: counts the connections it has, and tells of each."""

    def __init__(self, listening: socket.socket, came: asyncio.Queue[Taker]) -> None:
        self.transports: list[asyncio.Transport] = []
        self.came = came
        self.listening = listening
        self.acceptor = SharedAcceptor(
            listening, lambda: _Protocol(self), lambda: len(self.transports)
        )


class _Protocol(asyncio.Protocol):
    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._taker.transports.append(transport)
        self._taker.came.put_nowait(self._taker)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as one:
        one.setblocking(False)
        yield one


class Scene:
    """Takers of one event loop, for want of several processes, and their clients."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.came: asyncio.Queue[Taker] = asyncio.Queue()
        self.takers: list[Taker] = []
        self.clients: list[asyncio.StreamWriter] = []

    def taker(self, listening: socket.socket | None = None) -> Taker:
        """One more, with a descriptor of its own."""
        own = listening or self.listening.dup()
        self.takers.append(Taker(own, self.came))
        return self.takers[-1]

    async def connect(self, count: int) -> None:
        """Make connections, and wait until they are taken."""
        host, port = self.listening.getsockname()
        opening = (asyncio.open_connection(host, port) for _ in range(count))
        self.clients += [writer for _, writer in await asyncio.gather(*opening)]
        async with asyncio.timeout(5):
            for _ in range(count):
                await self.came.get()

    async def end(self) -> None:
        for taker in self.takers:
            taker.acceptor.close()
            taker.listening.close()
            await taker.acceptor.wait_closed()
            for transport in taker.transports:
                transport.abort()
        for client in self.clients:
            client.close()
        await asyncio.gather(*(one.wait_closed() for one in self.clients), return_exceptions=True)


@pytest.fixture
async def scene(listening: socket.socket) -> AsyncIterator[Scene]:
    played = Scene(listening)
    yield played
    await played.end()


async def test_every_connection_is_taken_once(scene: Scene) -> None:
    taker = scene.taker()
    await scene.connect(100)
    assert len(taker.transports) == 100


async def test_who_has_many_lets_others_go_first(scene: Scene) -> None:
    busy = scene.taker()
    await scene.connect(30)
    idle = scene.taker()
    await scene.connect(1)
    assert (len(busy.transports), len(idle.transports)) == (30, 1)


async def test_one_that_is_closed_takes_no_more(scene: Scene) -> None:
    first, second = scene.taker(), scene.taker()
    first.acceptor.close()
    await scene.connect(5)
    assert (len(first.transports), len(second.transports)) == (0, 5)
