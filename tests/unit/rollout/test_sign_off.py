"""A process that dies while it loads a candidate takes no other one along."""

from __future__ import annotations

import msgspec
import pytest

from penstock.app.processes.sign_off import sign_off
from penstock.rollout.report import ProcessReport
from penstock.rollout.sign_off import fail_rollouts
from penstock.rollout.state import ModelRouting, Phase
from penstock.rollout.subjects import counts_subject, plain_routing, read_routing, route_subject
from penstock.router.counts import StageCounts
from penstock.stores.control_store import ServingProcess, Wish
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.rollouts import a_routing, a_state

SUBJECT = route_subject("digits")


@pytest.fixture
async def store() -> FakeControlStore:
    fake = FakeControlStore()
    await fake.report(ServingProcess("dead", 2))
    return fake


async def in_phase(store: FakeControlStore, phase: Phase) -> int:
    revision = await store.change(Wish(SUBJECT, plain_routing(a_routing(a_state(phase)))))
    assert revision is not None
    return revision


async def report(store: FakeControlStore, stage: str, **fields: object) -> None:
    value = ProcessReport(0, StageCounts(stage), **fields)  # type: ignore[arg-type]
    await store.publish("dead", counts_subject("digits"), msgspec.msgpack.encode(value))


def last(store: FakeControlStore) -> ModelRouting:
    return read_routing(store.changes[-1].value)


@pytest.mark.parametrize("reported", ["nothing", "another stage", "loading"])
async def test_the_rollout_fails_whose_candidate_was_being_loaded(
    store: FakeControlStore, reported: str
) -> None:
    await in_phase(store, Phase.WARM)
    if reported != "nothing":
        stage = "digits-1/warm/0" if reported == "loading" else "digits-0/warm/0"
        ready = (1,) if reported == "loading" else (1, 2)
        await report(store, stage, ready=ready)
    assert await fail_rollouts(store, "dead", 2, 7) == ["digits"]
    found = last(store)
    assert found.rollout is not None
    assert found.rollout.phase is Phase.FAILED
    line = found.rollout.history[-1]
    assert (line.who, line.at_ms) == ("supervisor", 7)
    assert line.why == "process 2 died while it loaded version 2"
    assert found.route is not None
    assert [one.version for one in found.route.variants] == [1]


@pytest.mark.parametrize("fields", [{"ready": (1, 2)}, {"failures": {2: "no memory"}}])
async def test_a_process_that_had_loaded_it_died_of_something_else(
    store: FakeControlStore, fields: dict[str, object]
) -> None:
    await in_phase(store, Phase.WARM)
    await report(store, "digits-1/warm/0", **fields)
    assert await fail_rollouts(store, "dead", 2, 7) == []


@pytest.mark.parametrize("phase", [one for one in Phase if one is not Phase.WARM])
async def test_in_other_phases_a_death_changes_nothing(
    store: FakeControlStore, phase: Phase
) -> None:
    await in_phase(store, phase)
    assert await fail_rollouts(store, "dead", 2, 7) == []
    assert len(store.changes) == 1


async def test_what_cannot_be_read_is_left_alone(store: FakeControlStore) -> None:
    await store.change(Wish(SUBJECT, {"route": 3}))
    await store.change(Wish("model/digits", {"loaded": True}))
    assert await fail_rollouts(store, "dead", 2, 7) == []


async def test_a_rollback_is_never_taken_back(store: FakeControlStore) -> None:
    await in_phase(store, Phase.CANARY)
    revision = await in_phase(store, Phase.ROLLED_BACK)
    await store.attempt("dead", SUBJECT, revision)
    assert await sign_off(store, "dead", 2) == []
    assert last(store).rollout == a_state(Phase.ROLLED_BACK)
