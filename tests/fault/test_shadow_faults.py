"""Shadows that crash, stall, go away or cannot be compared: counted, and told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ModelCrashed,
    ModelFailed,
    NotReady,
    Overloaded,
)
from penstock.router.counts import PairCounts
from penstock.router.route import Route
from penstock.router.shadow import ShadowTee
from penstock.router.shadow_worker import MAX_AT_ONCE
from penstock.testing.fake_loader import FakeLoader
from tests.unit.lifecycle.building import World, model
from tests.unit.router.shadowing import (
    SHADOW,
    Computing,
    Failing,
    Lending,
    offer,
    request,
    response,
    route,
    same,
    tee,
    worker,
)
from tests.unit.scheduler.playing import play, puppet, schedule, settle


def raises(primary: Any, shadow: Any, tolerance: float) -> Any:
    raise RuntimeError("no idea")


class Threads:
    """Stands for the threads of the comparisons: work is done at once, or never."""

    def __init__(self) -> None:
        self.hangs = False
        self.num_begun = 0

    async def on_daemon_thread(self, work: Callable[[], Any], name: str) -> Any:
        self.num_begun += name == "penstock-compare"
        if self.hangs and name == "penstock-compare":
            await asyncio.Event().wait()
        return work()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    them = Threads()
    monkeypatch.setattr("penstock.router.shadow_comparer.on_daemon_thread", them.on_daemon_thread)
    return them


async def offered(it: ShadowTee, followed: Route, times: int = 1) -> PairCounts:
    """What was counted once these were offered, each in its own second."""
    for _ in range(times):
        asked = request()
        it.offer("m", followed, asked, response(asked))
        await asyncio.sleep(1)
    counts = it.counts("m")
    assert counts is not None
    return counts


@pytest.mark.parametrize(
    ("error", "errors", "shed"),
    [
        (ModelCrashed("the worker died"), 3, 0),
        (ModelFailed("it raised"), 3, 0),
        (InvalidArgument("another signature"), 3, 0),
        (NotReady("all its workers are in quarantine"), 3, 0),
        (RuntimeError("a bug"), 3, 0),
        (MemoryError(), 3, 0),
        (Overloaded("its queue is full"), 0, 3),
        (DeadlineExceeded("too late"), 0, 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_shadow_that_fails_is_counted_and_told_once(
    error: BaseException, errors: int, shed: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        lending = Lending({SHADOW: Failing(error)})
        it = worker(lending)
        for _ in range(3):
            offer(it)
        await asyncio.sleep(1)
        counts = it.counts()
        assert (counts.errors, counts.shed, counts.pairs) == (errors, shed, 0)
        assert it.held_bytes == lending.leases.count == 0

    play(scene())
    assert len([one for one in caplog.records if one.name == "penstock.router"]) == 1


def test_a_worker_that_dies_under_a_copy() -> None:
    async def scene() -> None:
        instance = puppet()
        it = worker(Lending({SHADOW: schedule(instance)}))
        offer(it)
        await instance.wait_until_busy()
        instance.take_down()
        await settle()
        assert it.counts().errors == 1
        instance.bring_up()
        offer(it)
        await asyncio.sleep(1)
        await instance.wait_until_busy()
        instance.finish()
        await settle()
        assert it.counts().pairs == 1

    play(scene())


def test_a_shadow_that_stalls_is_waited_for_no_longer_than_a_copy_is_worth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stalled(Computing):
        async def infer(self, request: Any) -> Any:
            self.requests.append(request)
            await asyncio.Event().wait()

    async def scene() -> None:
        stalled = Stalled(same)
        lending = Lending({SHADOW: stalled})
        it = tee(lending)
        followed = route(timeout_s=2.0)
        for _ in range(MAX_AT_ONCE + 1):
            asked = request()
            it.offer("m", followed, asked, response(asked))
        await asyncio.sleep(1.9)
        assert lending.leases.count == MAX_AT_ONCE
        await asyncio.sleep(60)
        counts = it.counts("m")
        assert counts is not None
        assert (counts.shed, counts.errors, counts.pairs) == (MAX_AT_ONCE + 1, 0, 0)
        assert len(stalled.requests) == MAX_AT_ONCE  # the other one was too old by then
        assert lending.leases.count == 0
        await it.aclose()

    play(scene())
    (record,) = caplog.records
    assert "it gave no answer within 2 s" in record.message


def test_a_slow_shadow_answers_as_many_as_it_can_in_time() -> None:
    class Slow(Computing):
        async def infer(self, request: Any) -> Any:
            await asyncio.sleep(0.3)
            return await super().infer(request)

    async def scene() -> None:
        it = tee(Lending({SHADOW: Slow(same)}))
        followed = route(timeout_s=1.0)
        for _ in range(100):
            asked = request()
            it.offer("m", followed, asked, response(asked))
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        counts = it.counts("m")
        assert counts is not None
        assert counts.pairs > MAX_AT_ONCE
        assert counts.shed > 0
        assert counts.pairs + counts.shed == 100
        assert sum(counts.latency) == counts.pairs
        await it.aclose()

    play(scene())


def test_a_shadow_that_is_unloaded_is_let_go() -> None:
    async def scene() -> None:
        world = World()
        await world.serve(
            model("m", {1: FakeLoader(), SHADOW: FakeLoader(Computing(same))}),
        )
        it = tee(world.manager)
        for _ in range(2):
            asked = request()
            it.offer("m", route(), asked, response(asked))
            await asyncio.sleep(1)
            await world.serve(model("m", {1: FakeLoader()}))
        counts = it.counts("m")
        assert counts is not None
        assert (counts.pairs, counts.shed, counts.errors) == (1, 1, 0)
        await it.aclose()
        await world.manager.aclose(1)

    play(scene())


def test_an_unload_waits_for_a_stalled_copy_no_longer_than_the_route_stands() -> None:
    async def scene() -> None:
        instance = puppet()
        world = World()
        await world.serve(model("m", {SHADOW: FakeLoader(schedule(instance))}))
        it = tee(world.manager)
        asked = request()
        it.offer("m", route(timeout_s=3600.0), asked, response(asked))
        await instance.wait_until_busy()
        world.manager.set_aspired([])
        await settle()
        assert world.states() == {SHADOW: "unloading"}
        it.follow("m", None)
        await world.manager.wait_settled()
        assert world.states() == {}
        instance.finish()
        await it.aclose()

    play(scene())


@pytest.mark.usefixtures("threads")
def test_a_comparison_that_raises_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        it = tee(Lending({SHADOW: Computing(same)}))
        followed = route(compare=f"{__name__}:raises")
        it.follow("m", followed)
        await settle()
        counts = await offered(it, followed, 3)
        assert (counts.incomparable, counts.pairs, counts.errors, counts.shed) == (3, 0, 0, 0)
        await it.aclose()

    play(scene())
    (record,) = caplog.records
    assert "RuntimeError('no idea')" in record.message


@pytest.mark.usefixtures("threads")
def test_a_comparison_that_cannot_be_imported_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        lending = Lending({SHADOW: Computing(same)})
        it = tee(lending)
        followed = route(compare="no_such_module:compare")
        it.follow("m", followed)
        await settle()
        counts = await offered(it, followed, 3)
        assert (counts.incomparable, counts.errors, counts.shed) == (3, 0, 0)
        assert lending.num_lent == 0
        await it.aclose()

    play(scene())
    (record,) = caplog.records
    assert "ModuleNotFoundError" in record.message


def test_a_comparison_that_hangs_is_called_no_more(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        threads.hangs = True
        it = tee(Lending({SHADOW: Computing(same)}))
        followed = route(compare=f"{__name__}:raises", timeout_s=2.0)
        it.follow("m", followed)
        await settle()
        await offered(it, followed, 10)
        await asyncio.sleep(60)
        counts = await offered(it, followed, 0)
        assert 1 <= threads.num_begun <= MAX_AT_ONCE
        assert counts.incomparable + counts.shed == 10
        assert counts.pairs == counts.errors == 0
        await it.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(scene())
    (record,) = caplog.records
    assert "did not return within 2 s; it is not called again" in record.message
