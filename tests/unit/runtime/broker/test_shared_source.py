"""What a serving process makes of the broker's words. The broker and the worker are puppets."""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from penstock.core.errors import LoadFailed, NotReady
from penstock.core.signature import ModelSignature
from penstock.runtime.broker import shared_source
from penstock.runtime.broker.connection import BrokerConnection
from penstock.runtime.broker.frames import (
    Acquire,
    Answered,
    Given,
    Gone,
    Kill,
    Ready,
    Refused,
    Release,
    ToBroker,
)
from penstock.runtime.broker.shared_source import SharedSource
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import Executed, Loaded, ToServer, encode_head
from penstock.runtime.process.state_file import StateFile, WorkerState
from penstock.runtime.process.wire_error import error_out
from tests.unit.runtime.process.test_worker_options import artifact

READY = Ready(9, Loaded(ModelSignature((), ()), "test"))
EXECUTED = encode_head(Executed([], {}, None, 1, 2))


class PuppetConnection:
    is_open = True

    def __init__(self) -> None:
        self.sent: list[ToBroker] = []
        self.told = asyncio.Event()
        self.seats = itertools.count(9)
        self.forgotten: list[int] = []

    def seat(self, holder: object) -> int:
        del holder
        return next(self.seats)

    def forget(self, seat: int) -> None:
        self.forgotten.append(seat)

    def send(self, message: ToBroker) -> None:
        self.sent.append(message)
        self.told.set()


class Owner:
    is_busy = False

    def __init__(self) -> None:
        self.heard: list[str] = []

    def overdue(self) -> str:
        return ""

    def connected(self, channel: FromWorker) -> None:
        del channel
        self.heard.append("connected")

    def take(self, message: ToServer, body: memoryview) -> None:
        del body
        self.heard.append(type(message).__name__)

    def up(self, loaded: Loaded) -> None:
        assert loaded == READY.loaded
        self.heard.append("up")

    def lost(self) -> None:
        self.heard.append("lost")

    def ended(self, why: str, *, is_counted: bool = True) -> None:
        self.heard.append(f"ended {why} {is_counted}")

    def faulted(self, fault: NotReady) -> None:
        self.heard.append(f"faulted {fault.message}")


class Scene:
    """A source that was given channel 5 of a worker."""

    def __init__(self, folder: Path) -> None:
        self.connection, self.owner, self.state = PuppetConnection(), Owner(), StateFile.make()
        self.tries = 0
        self.unreachable: LoadFailed | None = None
        self.source = SharedSource(self.reach, artifact(folder), 1, self.owner, 100.0)
        self.worker, theirs = socket.socketpair()
        self.starting = asyncio.get_running_loop().create_task(self.source.start())
        self._given = [theirs.detach(), os.dup(self.state.fd)]

    async def reach(self) -> BrokerConnection:
        self.tries += 1
        if self.unreachable is not None:
            raise self.unreachable
        return cast(BrokerConnection, self.connection)

    async def acquired(self) -> Acquire:
        """What it asks for once it has lost its seat."""
        self.connection.sent.clear()
        self.connection.told.clear()
        await asyncio.wait_for(self.connection.told.wait(), 5.0)
        (wish,) = self.connection.sent
        assert isinstance(wish, Acquire)
        return wish

    async def connect(self) -> None:
        await asyncio.sleep(0)
        (wish,) = self.connection.sent
        assert isinstance(wish, Acquire)
        assert (wish.seat, wish.index, wish.load.name) == (9, 1, "m")
        self.connection.sent.clear()
        self.connection.told.clear()
        self.source.heard(Given(9, 5, 42), self._given)
        self.source.heard(READY, [])
        assert await self.starting == READY.loaded


def another_worker() -> list[int]:
    """The descriptors that come with a worker."""
    ours, theirs = socket.socketpair()
    ours.close()
    return [theirs.detach(), StateFile.make().fd]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    await scene.connect()
    yield scene
    await scene.source.close(0.0)
    scene.worker.close()
    scene.state.close()


async def test_it_knows_whose_batch_the_worker_has_and_what_has_begun(scene: Scene) -> None:
    assert scene.source.pid == 42
    assert not scene.source.is_elsewhere
    for channel, is_elsewhere in ((5, False), (6, True)):
        assert not scene.source.has_begun(2)
        scene.state.begin(WorkerState(channel, 1, 2))
        assert scene.source.is_elsewhere is is_elsewhere
        assert scene.source.has_begun(1)


async def test_an_answer_that_came_before_a_death_counts(scene: Scene) -> None:
    scene.worker.send(EXECUTED)
    scene.worker.close()
    scene.source.heard(Gone(9, "bad luck", True), [])
    assert scene.owner.heard == ["connected", "Executed", "ended bad luck True"]
    assert scene.source.pid == 0
    scene.source.heard(READY, [])
    assert scene.owner.heard[-1] == "up"


async def test_garbage_gets_the_worker_killed_at_once(scene: Scene) -> None:
    scene.worker.send(b"\xff" * 64)
    await scene.connection.told.wait()
    (kill,) = scene.connection.sent
    assert isinstance(kill, Kill)
    assert (kill.seat, kill.channel) == (9, 5)
    assert scene.owner.heard == ["connected", "lost"]


async def test_a_worker_that_only_closes_its_channel_is_killed_too(scene: Scene) -> None:
    scene.worker.close()
    await scene.connection.told.wait()
    assert scene.connection.sent == [Kill(9, 5, "it closed its channel")]


async def test_good_news_go_with_the_channel_they_are_of(scene: Scene) -> None:
    scene.source.answered()
    assert scene.connection.sent == [Answered(9, 5)]


async def test_good_news_are_told_once_in_a_workers_life(scene: Scene) -> None:
    for _ in range(1000):
        scene.source.answered()
    assert scene.connection.sent == [Answered(9, 5)]
    scene.source.heard(Gone(9, "bad luck", True), [])
    scene.source.heard(Given(9, 6, 43), another_worker())
    for _ in range(2):
        scene.source.answered()
    assert scene.connection.sent == [Answered(9, 5), Answered(9, 6)]


async def test_a_lost_descriptor_costs_its_seat_only_and_another_is_taken(scene: Scene) -> None:
    scene.source.heard(Gone(9, "bad luck", True), [])
    reading, writing = os.pipe()
    scene.source.heard(Given(9, 6, 43), [writing])
    assert os.read(reading, 1) == b"", "the one that came is closed"
    os.close(reading)
    assert scene.connection.sent == [Release(9)]
    assert scene.connection.forgotten == [9]
    assert "no file descriptors left" in scene.owner.heard[-1]
    assert (await scene.acquired()).seat == 10
    scene.source.heard(Given(10, 7, 44), another_worker())
    scene.source.heard(READY, [])
    assert scene.owner.heard[-2:] == ["connected", "up"]


async def test_a_lost_descriptor_fails_a_start_that_may_be_tried_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await asyncio.sleep(0)
    scene.source.heard(Given(9, 5, 42), scene._given[:1])
    with pytest.raises(LoadFailed, match="no file descriptors left") as failed:
        await scene.starting
    assert failed.value.retryable
    await scene.source.close(10.0)
    os.close(scene._given[1])
    scene.worker.close()
    scene.state.close()


async def test_one_that_never_started_is_closed_at_once(tmp_path: Path) -> None:
    async def unreachable() -> BrokerConnection:
        raise LoadFailed("nobody is there")

    source = SharedSource(unreachable, artifact(tmp_path), 0, Owner(), 100.0)
    async with asyncio.timeout(1.0):
        await source.close(10.0)
        with pytest.raises(LoadFailed, match="nobody is there"):
            await source.start()
        await source.close(10.0)


async def test_a_start_that_is_closed_meanwhile_ends(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await asyncio.sleep(0)
    await scene.source.close(0.0, "the server is shutting down")
    async with asyncio.timeout(1.0):
        with pytest.raises(LoadFailed, match="the server is shutting down"):
            await scene.starting
    for fd in scene._given:
        os.close(fd)
    scene.worker.close()
    scene.state.close()


async def test_a_broker_that_says_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_source, "_START_GRACE_S", 0.05)
    connection = cast(BrokerConnection, PuppetConnection())

    async def reach() -> BrokerConnection:
        return connection

    source = SharedSource(reach, artifact(tmp_path), 0, Owner(), 0.0)
    async with asyncio.timeout(5.0):
        with pytest.raises(LoadFailed, match=r"had none within 0\.05 s"):
            await source.start()
    await source.close(0.0)


async def test_the_brokers_end_is_a_death_and_a_fault(scene: Scene) -> None:
    scene.source.deserted()
    gone = "the process that starts its workers has gone"
    assert scene.owner.heard[1] == f"ended {gone} False"
    assert scene.owner.heard[2] == f"faulted 'm' version 1: {gone}"


async def test_when_the_broker_is_there_again_so_is_the_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_source, "_FIRST_DELAY_S", 0.01)
    scene.source._delay_s = 0.01
    scene.unreachable = LoadFailed("nobody is there")
    scene.source.deserted()
    async with asyncio.timeout(5.0):
        while scene.tries < 4:  # noqa: ASYNC110  # no event tells of a try
            await asyncio.sleep(0.005)
    assert scene.owner.heard[-1] == "faulted nobody is there"
    scene.unreachable = None
    wish = await scene.acquired()
    scene.source.heard(Refused(wish.seat, error_out(LoadFailed("in quarantine"))), [])
    assert scene.owner.heard[-1] == "faulted in quarantine"
    wish = await scene.acquired()
    scene.source.heard(Given(wish.seat, 1, 44), another_worker())
    scene.source.heard(READY, [])
    assert scene.owner.heard[-2:] == ["connected", "up"]


async def test_who_is_closed_asks_for_no_other_seat(scene: Scene) -> None:
    scene.source.deserted()
    rejoining = scene.source._rejoining
    assert rejoining is not None
    async with asyncio.timeout(1.0):
        await scene.source.close(10.0)
        await asyncio.wait([rejoining])
    assert rejoining.cancelled()


async def test_a_refusal_is_the_brokers_error(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await asyncio.sleep(0)
    scene.source.heard(Refused(9, error_out(LoadFailed("no licence"))), [])
    with pytest.raises(LoadFailed, match="no licence"):
        await scene.starting
    await scene.source.close(0.0)
    assert scene.connection.forgotten == [9]
    for fd in scene._given:
        os.close(fd)
    scene.worker.close()
    scene.state.close()
