"""Who is told what of a worker that several share. The keeper is a puppet."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from penstock.core.errors import LoadFailed, NotReady
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature
from penstock.runtime.broker.frames import Faulted, Given, Gone, Ready, Refused, ToGuest
from penstock.runtime.broker.shared_worker import Seat, SharedWorker
from penstock.runtime.process.channel import Channel, FromWorker, decode_from_worker
from penstock.runtime.process.frame import BadFrame, Call, Loaded
from penstock.runtime.process.state_file import StateFile, WorkerState
from penstock.runtime.process.worker_keeper import WorkerKeeper
from penstock.runtime.process.worker_options import WorkerOptions

LOADED = Loaded(ModelSignature((), ()), "test")
OPTIONS = WorkerOptions(start_timeout_s=100, kill_after_s=10)
SECOND = 1_000_000_000


class PuppetKeeper:
    pid = 42

    def __init__(self) -> None:
        self.started: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self.said: list[str] = []

    async def start(self) -> Loaded:
        return await self.started

    def kill(self, why: str) -> None:
        self.said.append(why)

    def answered(self) -> None:
        self.said.append("answered")

    def hurry(self) -> None:
        self.said.append("hurry")


class PuppetGuest:
    def __init__(self) -> None:
        self.heard: list[ToGuest] = []
        self.state: StateFile | None = None

    def send(self, message: ToGuest, *fds: int) -> None:
        self.heard.append(message)
        if isinstance(message, Given):
            worker_fd, state_fd = fds
            os.close(worker_fd)
            if self.state is not None:
                self.state.close()
            self.state = StateFile(state_fd)

    @property
    def kinds(self) -> list[type]:
        return [type(message) for message in self.heard]


class Scene:
    """A shared worker whose process is a socket in our hand."""

    def __init__(self) -> None:
        self.keeper = PuppetKeeper()
        self.is_vain = False
        self.worker = SharedWorker(
            ServableId("m", 1), OPTIONS, lambda _: cast(WorkerKeeper, self.keeper), self.give_up
        )
        self._held: list[Any] = []
        self._guests: list[PuppetGuest] = []

    def give_up(self) -> None:
        self.is_vain = True

    def join(self) -> tuple[PuppetGuest, Seat]:
        guest = PuppetGuest()
        self._guests.append(guest)
        seat = Seat(guest, 1)
        self.worker.join(seat)
        return guest, seat

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        channel: FromWorker = Channel(
            ours, decode_from_worker, on_message=self.worker.take, on_lost=lambda _: None
        )
        self._held += [theirs, channel]
        self.worker.connected(channel)

    async def come_up(self) -> None:
        self.connect()
        self.keeper.started.set_result(LOADED)
        await turn()

    def close(self) -> None:
        self.worker.ended("the play is over")
        for one in self._held:
            one.close()
        for guest in self._guests:
            if guest.state is not None:
                guest.state.close()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_all_who_wait_are_given_it_and_told_when_it_is_ready(scene: Scene) -> None:
    (one, _), (two, _) = scene.join(), scene.join()
    assert one.heard == []
    await scene.come_up()
    assert one.kinds == two.kinds == [Given, Ready]
    late, _ = scene.join()
    assert late.kinds == [Given, Ready]
    given = [guest.heard[0] for guest in (one, two, late)]
    assert given == [Given(1, number, 42) for number in (1, 2, 3)]


async def test_a_first_worker_that_does_not_come_up_is_refused_to_all(scene: Scene) -> None:
    (one, _), (two, _) = scene.join(), scene.join()
    await turn()
    scene.keeper.started.set_exception(LoadFailed("no licence"))
    await turn()
    assert scene.is_vain
    assert one.kinds == two.kinds == [Refused]


async def test_a_death_is_told_to_all_and_counted_by_one(scene: Scene) -> None:
    (one, _), (two, _) = scene.join(), scene.join()
    await scene.come_up()
    scene.worker.ended("bad luck")
    assert [one.heard[-1], two.heard[-1]] == [Gone(1, "bad luck", True), Gone(1, "bad luck", False)]
    scene.connect()
    scene.worker.up(LOADED)
    assert one.kinds == two.kinds == [Given, Ready, Gone, Given, Ready]


async def test_who_joins_between_two_workers_hurries_and_hears_of_no_death(scene: Scene) -> None:
    scene.join()
    await scene.come_up()
    scene.worker.lost()
    late, _ = scene.join()
    scene.worker.ended("bad luck")
    assert late.heard == []
    assert scene.keeper.said == ["hurry"]
    scene.connect()
    scene.worker.up(LOADED)
    assert late.kinds == [Given, Ready]


async def test_quarantine_is_a_fault_to_who_had_it_and_a_refusal_to_others(
    scene: Scene,
) -> None:
    old, _ = scene.join()
    await scene.come_up()
    scene.worker.ended("bad luck")
    new, _ = scene.join()
    scene.worker.faulted(NotReady("in quarantine", retry_after_s=3))
    last = old.heard[-1]
    assert isinstance(last, Faulted)
    assert (last.error.message, last.error.retry_after_s) == ("in quarantine", 3)
    assert new.kinds == [Refused]


async def test_only_who_means_this_worker_can_end_or_praise_it(scene: Scene) -> None:
    _, seat = scene.join()
    await scene.come_up()
    scene.worker.kill(seat, 7, "not this one")
    scene.worker.answered(seat, 7)
    assert scene.keeper.said == []
    scene.worker.answered(seat, seat.channel)
    scene.worker.kill(seat, seat.channel, "it hangs")
    assert scene.keeper.said == ["answered", "it hangs"]
    scene.worker.ended("it hangs")
    scene.worker.kill(seat, seat.channel, "there is none")
    assert scene.keeper.said == ["answered", "it hangs"]


async def test_it_has_nothing_to_compute_for_the_broker(scene: Scene) -> None:
    with pytest.raises(BadFrame, match="a Call nobody asked for"):
        scene.worker.take(Call("m", "", []), memoryview(b""))


@pytest.mark.parametrize(
    ("age_s", "left_s", "is_late", "is_late_for_nobody"),
    [
        (5, -1, False, False),  # past its deadline, but not long enough at it
        (11, -1, True, True),
        (50, 1, False, True),  # nobody waits until its deadline
        (50, None, False, True),  # a warm-up may take as long as a start
        (101, None, True, True),
    ],
)
async def test_a_batch_is_overdue_when_nobody_waits_for_it_any_more(
    scene: Scene, age_s: float, left_s: float | None, is_late: bool, is_late_for_nobody: bool
) -> None:
    guest, seat = scene.join()
    assert not scene.worker.overdue()
    await scene.come_up()
    assert guest.state is not None
    assert (scene.worker.overdue(), scene.worker.is_busy) == ("", False)
    now_ns = time.monotonic_ns()
    deadline_ns = 0 if left_s is None else now_ns + int(left_s * SECOND)
    guest.state.begin(WorkerState(seat.channel, now_ns - int(age_s * SECOND), deadline_ns))
    assert scene.worker.is_busy
    assert bool(scene.worker.overdue()) is is_late
    scene.worker.leave(seat)
    assert bool(scene.worker.overdue()) is is_late_for_nobody


async def test_what_is_read_while_it_is_written_kills_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, seat = scene.join()
    await scene.come_up()
    torn, real = WorkerState(seat.channel, 1, 1), WorkerState(seat.channel, time.monotonic_ns(), 1)
    reads = iter((torn, real))
    monkeypatch.setattr(StateFile, "read", lambda _: next(reads))
    assert not scene.worker.overdue()
