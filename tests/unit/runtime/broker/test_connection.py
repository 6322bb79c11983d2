"""A serving process's line to the broker, over a real socket."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.runtime.broker import connection
from penstock.runtime.broker.connection import BrokerConnection
from penstock.runtime.broker.frames import Given, Released, ToBroker, ToGuest, decode_from_guest
from penstock.runtime.process.channel import Channel


class Holder:
    """Closes what it is given."""

    def __init__(self) -> None:
        self.num_fds: list[int] = []
        self.told = asyncio.Event()
        self.is_deserted = False

    def heard(self, message: ToGuest, fds: list[int]) -> None:
        del message
        self.num_fds.append(len(fds))
        for fd in fds:
            os.close(fd)
        self.told.set()

    def deserted(self) -> None:
        self.is_deserted = True


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-test-"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "workers.sock"))
        sock.listen(0)
        yield sock
    shutil.rmtree(folder)


async def test_a_frame_without_its_descriptors_costs_the_line_nothing(
    listening: socket.socket,
) -> None:
    line = await BrokerConnection.open(listening.getsockname())
    one, two = Holder(), Holder()
    seats = [line.seat(holder) for holder in (one, two)]
    broker: Channel[ToBroker] = Channel(
        listening.accept()[0], decode_from_guest, on_message=print, on_lost=print
    )
    reading, writing = os.pipe()
    broker.send(Given(seats[0], 1, 1), fds=[reading])
    broker.send(Given(seats[1], 2, 2), fds=[writing, os.dup(writing)])
    broker.send(Released(seats[0]))
    async with asyncio.timeout(5.0):
        while len(one.num_fds) < 2:
            await one.told.wait()
            one.told.clear()
    assert (one.num_fds, two.num_fds) == ([1, 0], [2])
    assert line.is_open
    assert not one.is_deserted
    line.close()
    broker.close()


async def test_nobody_waits_for_a_broker_that_does_not_answer(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_S", 0.2)
    path = listening.getsockname()
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(path)  # that fills the queue
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(LoadFailed, match=r"no answer within 0\.2 s"):
            await BrokerConnection.open(path)
        ticking.cancel()
        assert turns > 3, "the loop was not blocked"


async def test_it_is_let_in_when_there_is_room(listening: socket.socket) -> None:
    path = listening.getsockname()
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(path)
        opening = asyncio.create_task(BrokerConnection.open(path))
        await asyncio.sleep(0)
        assert not opening.done()
        listening.accept()[0].close()
        async with asyncio.timeout(5.0):
            line = await opening
        line.close()
