"""What all processes know together, the dead and the silent included."""

from __future__ import annotations

import msgspec
import pytest

from penstock.rollout.collector import PATIENCE_S, Collector, read_reports, sum_counts
from penstock.rollout.report import ProcessReport
from penstock.rollout.seen import Readiness
from penstock.rollout.state import Phase
from penstock.rollout.subjects import counts_subject
from penstock.router.counts import StageCounts, VariantCounts
from penstock.stores.control_store import ServingProcess
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.rollouts import a_state

STATE = a_state(Phase.CANARY)


@pytest.fixture
async def store() -> FakeControlStore:
    fake = FakeControlStore()
    for number in (1, 2):
        await fake.report(ServingProcess(f"p{number}", number))
    return fake


async def tell(
    store: FakeControlStore,
    process: str,
    ready: tuple[int, ...] = (1, 2),
    *,
    requests: int = 10,
    stage: str = STATE.stage,
    failures: dict[int, str] | None = None,
) -> None:
    counts = StageCounts(stage, {"canary": VariantCounts(requests=requests)})
    value = msgspec.msgpack.encode(ProcessReport(0, counts, ready, failures or {}))
    await store.publish(process, counts_subject("digits"), value)


async def test_sums_and_readiness(store: FakeControlStore) -> None:
    await tell(store, "p1")
    await tell(store, "p2", (1,), requests=5)
    await tell(store, "dead", requests=3)
    found = await Collector("digits", store, FakeClock()).collect(STATE)
    assert found.counts.variants["canary"].requests == 18
    assert found.readiness == Readiness(processes=2, candidate=1, reference=2)


async def test_another_stage_is_not_counted_and_still_tells_what_is_ready(
    store: FakeControlStore,
) -> None:
    await tell(store, "p1", stage="digits-1/warm/0")
    found = await Collector("digits", store, FakeClock()).collect(STATE)
    assert found.counts == StageCounts(STATE.stage)
    assert found.readiness.candidate == 1


async def test_what_was_told_of_an_earlier_rollout_is_no_news(store: FakeControlStore) -> None:
    warm = a_state(Phase.WARM)
    collector = Collector("digits", store, FakeClock())
    for process in ("p1", "p2"):
        await tell(store, process, stage="digits-0/bake/0", failures={2: "no memory"})
    assert (await collector.collect(warm)).readiness == Readiness(processes=2)
    for process in ("p1", "p2"):
        await tell(store, process, (1,), stage=warm.stage)
    assert (await collector.collect(warm)).readiness == Readiness(processes=2, reference=2)


async def test_what_is_lost_stays_lost_until_it_is_back(store: FakeControlStore) -> None:
    collector = Collector("digits", store, FakeClock())
    await tell(store, "p1")
    await tell(store, "p2")
    assert (await collector.collect(STATE)).readiness.lost == 0
    await tell(store, "p2", (1,))
    for _ in range(3):
        assert (await collector.collect(STATE)).readiness.lost == 1
    await tell(store, "p2")
    assert (await collector.collect(STATE)).readiness.lost == 0


async def test_a_process_that_was_never_ready_has_lost_nothing(store: FakeControlStore) -> None:
    collector = Collector("digits", store, FakeClock())
    for _ in range(2):
        await tell(store, "p1", (1,))
        assert (await collector.collect(STATE)).readiness.lost == 0


async def test_a_process_that_is_gone_has_lost_nothing(store: FakeControlStore) -> None:
    collector = Collector("digits", store, FakeClock())
    await tell(store, "p1")
    await tell(store, "p2")
    await collector.collect(STATE)
    await store.leave("p2")
    found = await collector.collect(STATE)
    assert found.readiness == Readiness(processes=1, candidate=1, reference=1)


async def test_a_candidate_that_is_not_there_yet_is_waited_for_while_it_has_no_request(
    store: FakeControlStore,
) -> None:
    clock, warm = FakeClock(), a_state(Phase.WARM)
    collector = Collector("digits", store, clock)
    await tell(store, "p1")
    await tell(store, "p2", (1,), failures={2: "it is not stored"})
    assert (await collector.collect(warm)).readiness.failures == ()
    clock.advance(PATIENCE_S - 0.1)
    found = (await collector.collect(warm)).readiness
    assert (found.failures, found.candidate) == ((), 1)
    clock.advance(0.2)
    assert (await collector.collect(warm)).readiness.failures == ("it is not stored",)
    await tell(store, "p2")
    assert (await collector.collect(warm)).readiness.failures == ()
    await tell(store, "p2", (1,), failures={2: "gone"})
    assert (await collector.collect(STATE)).readiness.failures == ("gone",)


def test_what_cannot_be_read_is_left_out() -> None:
    told = {"a": b"\xc1", "b": msgspec.msgpack.encode(ProcessReport(1, StageCounts("s")))}
    assert list(read_reports(told)) == ["b"]
    assert sum_counts({}, "s") == StageCounts("s")
