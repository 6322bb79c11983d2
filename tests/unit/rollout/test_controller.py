"""Who decides, what is written, and what keeps nobody from going on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from penstock.core.errors import LoadFailed, StoreError
from penstock.rollout import actions, rollout_decider
from penstock.rollout.controller import ControllerOptions
from penstock.rollout.outside.prometheus import Sample
from penstock.rollout.outside.sources import Sources
from penstock.rollout.reporter import Versions
from penstock.rollout.spec import ErrorRateGate, PrometheusGate, RolloutSpec
from penstock.rollout.state import Phase, RolloutState
from penstock.router.counts import VariantCounts
from penstock.router.route import Route
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.rollout_plant import (
    Process,
    check_law,
    good,
    nan,
    now_ms,
    phases,
    quick_spec,
    running,
    turns,
    written,
)

ALL = ["draft", "warm", "canary", "bake", "done"]


@pytest.fixture
def store() -> FakeControlStore:
    return FakeControlStore()


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock.rollout")


async def test_a_good_candidate_gets_everything(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        await one.start()
        end = await two.ends(Phase.DONE)
        await one.ends(Phase.DONE)
        assert phases(store) == ALL
        check_law(store)
        assert {line.who for line in end.history[1:]} == {"controller"}
        for process in (one, two):
            route = process.table.routes["digits"]
            assert route is not None
            assert [(one.version, one.weight) for one in route.variants] == [(2, 100.0)]
            assert process.held == {2}
        await turns()  # until it holds everywhere
        decided = {**one.stats.decisions, **two.stats.decisions}
        assert decided == {("digits", phase): 1 for phase in ALL[1:]}
        effects = [s.effect_ns["digits"].count for s in (one.stats, two.stats) if s.effect_ns]
        assert sum(effects) == 4
        assert (one.stats.phases, two.stats.weights) == ({"digits": "done"}, {"digits": 100.0})


async def test_a_broken_candidate_is_rolled_back(store: FakeControlStore) -> None:
    async with running(store, 2, traffic=nan) as (one, two):
        await one.start()
        end = await two.ends(Phase.ROLLED_BACK)
        assert phases(store) == ["draft", "warm", "canary", "rolled back"]
        assert "NaN" in end.history[-1].why
        check_law(store)
        route = two.table.routes["digits"]
        assert route is not None
        assert [(one.version, one.weight) for one in route.variants] == [(1, 100.0)]
        await turns()
        assert {**one.stats.rollbacks, **two.stats.rollbacks} == {"digits": 1}


async def test_a_candidate_that_is_not_ready_everywhere_waits(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        two.versions = Versions((1,))
        await one.start()
        await one.ends(Phase.WARM)
        await turns()
        assert one.state is not None
        assert one.state.phase is Phase.WARM
        two.versions = Versions((1, 2))
        await one.ends(Phase.DONE)


async def test_a_candidate_that_is_lost_is_rolled_back(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        await one.start(quick_spec(bake={"min_samples": 10, "min_time_s": 1000.0}))
        await two.ends(Phase.BAKE)
        await turns()  # its readiness was seen
        two.versions = Versions((1,))
        end = await one.ends(Phase.ROLLED_BACK)
        assert "ready and is no more in 1 of 2" in end.history[-1].why


async def test_what_a_dead_process_counted_still_counts(store: FakeControlStore) -> None:
    spec = quick_spec(
        steps=[{"weight": 10.0, "min_samples": 150, "min_time_s": 0.0, "timeout_s": 1000.0}]
    )
    async with running(store, 1) as (one,):
        await one.start(spec)
        await one.ends(Phase.CANARY)
        await turns()
        assert one.state is not None
        assert one.state.phase is Phase.CANARY  # 100 of 150
        two = Process(store, 2)
        await two.begin()
        await two.ends(Phase.BAKE)
        await two.close()
        check_law(store)


class EverybodyLeads(FakeControlStore):
    """A store that gives each lease to everybody."""

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        await self._turn()
        return True


@pytest.mark.parametrize(("traffic", "end"), [(good, Phase.DONE), (nan, Phase.ROLLED_BACK)])
async def test_several_who_believe_to_decide_do_no_more_than_one(
    traffic: Callable[[Route], dict[str, VariantCounts]], end: Phase
) -> None:
    store = EverybodyLeads()
    async with running(store, 4, traffic=traffic) as processes:
        await processes[0].start()
        for process in processes:
            await process.ends(end)
        check_law(store)
        await turns()
        decided = [process.stats.decisions.get(("digits", str(end)), 0) for process in processes]
        assert sum(decided) == 1


class Meddling:
    """A share where somebody else changes things just before an order is written."""

    def __init__(self) -> None:
        self.inner: Any = None
        self.meddle: Callable[[], Any] | None = None

    async def order(
        self,
        subject: str,
        to: Callable[[Any], Any],
        *,
        who: str,
        why: str,
        may_undo: bool = True,
    ) -> None:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            await meddle()
        assert not may_undo  # one process that cannot follow must not undo it for all
        await self.inner.order(subject, to, who=who, why=why, may_undo=may_undo)


async def test_a_decision_from_a_state_that_is_past_is_not_written(
    store: FakeControlStore,
) -> None:
    share = Meddling()
    one = Process(store, 1, share=share)
    share.inner = one.reconciler
    await one.begin()
    await one.start(quick_spec(warm_timeout_s=1000.0))

    async def pause() -> None:
        await one.order(lambda now: actions.pause(now, "ann", "wait", now_ms()))

    share.meddle = pause
    paused = await one.until(lambda state: state.is_paused)
    await turns()
    assert one.state == paused
    assert paused.history[-1].who == "ann"
    check_law(store)
    await one.close()


async def test_a_store_that_is_down_stalls_and_changes_nothing(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store, 1) as (one,):
        one.versions = Versions((1,))
        await one.start()
        await one.ends(Phase.WARM)
        route = one.table.routes["digits"]
        store.fault = StoreError("disk full")
        async with asyncio.timeout(10):
            while not one.stats.stalled:
                await turns(1)
        await turns()
        assert one.table.routes["digits"] is route
        told = [r for r in caplog.records if "nobody can decide" in r.getMessage()]
        assert len(told) == 1
        one.versions = Versions((1, 2))
        store.fault = None
        await one.ends(Phase.DONE)
        assert one.stats.stalled == {}
        assert "rollout of 'digits' goes on" in caplog.text


async def test_a_bug_in_a_decision_is_told_once_and_touches_nothing(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def broken(*_: object) -> RolloutState | None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    async with running(store, 1) as (one,):
        with monkeypatch.context() as patch:
            patch.setattr(rollout_decider, "decide", broken)
            await one.start()
            async with asyncio.timeout(10):
                while calls < 5:
                    await turns(1)
            assert phases(store) == ["draft"]
            assert len([record for record in caplog.records if record.exc_info]) == 1
            assert one.stats.stalled == {"digits": "ZeroDivisionError"}
        await one.ends(Phase.DONE)


async def test_a_prometheus_that_hangs_keeps_no_rollback_waiting(store: FakeControlStore) -> None:
    asked = asyncio.Event()

    async def hang(gate: PrometheusGate, spec: RolloutSpec) -> Sample:
        asked.set()
        await asyncio.Event().wait()
        return Sample(None)

    def failing(route: Route) -> dict[str, VariantCounts]:
        counts = {one.name: VariantCounts(requests=2000) for one in route.variants}
        if "canary" in counts and asked.is_set():
            counts["canary"] = VariantCounts(requests=2000, errors=1000)
        return counts

    gates = (PrometheusGate(url="http://p", query="up", max=1), ErrorRateGate())
    spec = msgspec.structs.replace(quick_spec(), gates=gates)
    sources = Sources(ask_prometheus=hang)
    async with running(store, 1, traffic=failing, sources=sources) as (one,):
        await one.start(spec)
        end = await one.ends(Phase.ROLLED_BACK)
        assert "error_rate" in end.history[-1].why


async def test_prometheus_says_pass_so_often_in_a_row(store: FakeControlStore) -> None:
    values = iter([0.0, 5.0, 0.0, None, 0.0, 0.0, 0.0])
    given: list[float | None] = []

    async def ask(gate: PrometheusGate, spec: RolloutSpec) -> Sample:
        given.append(next(values, 0.0))
        return Sample(given[-1], "" if given[-1] is not None else "nothing")

    gates = (PrometheusGate(url="http://p", query="up", max=1, consecutive=3),)
    spec = msgspec.structs.replace(quick_spec(), gates=gates)
    async with running(store, 1, sources=Sources(ask_prometheus=ask)) as (one,):
        await one.start(spec)
        await one.ends(Phase.BAKE)
        assert given[:7] == [0.0, 5.0, 0.0, None, 0.0, 0.0, 0.0]
        await one.ends(Phase.DONE)


async def test_a_decision_that_a_process_cannot_follow_holds_in_the_others(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = ControllerOptions(renew_s=0.002, max_backoff_s=1000)
    async with running(store, 2, options=patient) as (one, two):
        one.versions = Versions((1,))
        await one.start()
        await one.ends(Phase.WARM)
        refusing = two.reconciler._apply

        async def refuse(change: Any) -> None:
            if "canary" in str(change.value["rollout"]["phase"]):
                raise LoadFailed("an older program")
            await refusing(change)

        monkeypatch.setattr(two.reconciler, "_apply", refuse)
        one.versions = Versions((1, 2))
        await one.ends(Phase.DONE)
        await two.ends(Phase.DONE)  # it follows what it can read
        assert not any(change.undoes for change in store.changes)
        assert caplog.text.count("decision on 'digits' is not followed everywhere") == 1
        decided = [process.stats.decisions for process in (one, two)]
        assert sum(of.get(("digits", str(Phase.CANARY)), 0) for of in decided) == 1


async def test_who_leaves_hands_over_at_once(store: FakeControlStore) -> None:
    one, two = Process(store, 1), Process(store, 2)
    await one.begin()
    one.versions = Versions((1,))
    await one.start()
    await one.ends(Phase.WARM)
    assert store.leases == {"rollout/digits": "p1"}
    await two.begin()
    await one.close()
    await two.ends(Phase.DONE)
    await two.controller.wait_done("digits")
    assert store.leases == {}
    await two.close()


async def test_what_has_ended_is_looked_at_no_more(store: FakeControlStore) -> None:
    async with running(store, 1) as (one,):
        await one.start()
        await one.ends(Phase.DONE)
        await asyncio.wait_for(one.controller.wait_done("digits"), 10)
        assert store.leases == {}
        await one.start(quick_spec(candidate=1, reference=2))
        await one.ends(Phase.DONE)
        assert len({state.id for state in written(store)}) == 2


async def test_a_pause_by_hand_is_told_although_the_next_look_is_far(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store, 1) as (one,):
        one.versions = Versions((1,))
        await one.start(quick_spec(interval_s=1000.0, steps=[]))
        await one.ends(Phase.WARM)
        await one.order(lambda now: actions.pause(now, "ann", "lunch", now_ms()))
        async with asyncio.timeout(10):
            while "paused (ann): lunch" not in caplog.text:
                await turns(1)
