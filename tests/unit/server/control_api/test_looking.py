"""What is known of a model, whichever process decides."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.evidence.means import Moments
from penstock.evidence.verdict import Verdict
from penstock.rollout.report import ProcessReport
from penstock.rollout.spec import OutcomeGate, PrometheusGate
from penstock.rollout.state import GateResult, ModelRouting, Phase
from penstock.rollout.subjects import counts_subject
from penstock.router.counts import StageCounts
from penstock.server.control_api.looking import Looker
from penstock.stores.control_store import ServingProcess
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.rollouts import a_routing, a_spec, a_state, a_variant, moments

MOMENTS = {"stable": moments(5, 0.5), "canary": moments(4, 0.6)}


class Outcomes:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    async def moments(self, model: str, experiment: str, metric: str) -> Mapping[str, Moments]:
        self.asked.append((model, experiment, metric))
        return MOMENTS


async def publish(store: FakeControlStore, id_: str, counts: StageCounts, *ready: int) -> None:
    await store.report(ServingProcess(id_))
    report = msgspec.msgpack.encode(ProcessReport(1, counts, ready))
    await store.publish(id_, counts_subject("digits"), report)


async def test_the_sums_of_all_processes_and_who_is_ready() -> None:
    store, state = FakeControlStore(), a_state(Phase.CANARY)
    await publish(store, "a", StageCounts(state.stage, {"canary": a_variant(3)}), 1, 2)
    await publish(store, "b", StageCounts(state.stage, {"canary": a_variant(4)}), 1)
    await publish(store, "c", StageCounts("older", {"canary": a_variant(100)}), 1, 2)
    look = await Looker(store, Outcomes()).look("digits", a_routing(state))
    assert look.evidence.counts.variants["canary"].requests == 7
    ready = look.evidence.readiness
    assert (ready.processes, ready.candidate, ready.reference) == (3, 1, 2)
    assert sorted(look.reports) == ["a", "b"]


async def test_without_a_stage_nothing_is_asked() -> None:
    store = FakeControlStore()
    look = await Looker(store, Outcomes()).look("digits", ModelRouting())
    assert look.evidence.counts == StageCounts()
    ended = a_state(Phase.ROLLED_BACK)
    assert (await Looker(store, Outcomes()).look("digits", a_routing(ended))).reports == {}


async def test_outcomes_are_read_and_prometheus_is_what_was_written_down() -> None:
    gates = (
        OutcomeGate(name="clicks", max_loss=0.1),
        PrometheusGate(url="http://prometheus", query="up", min=0.5),
    )
    last = (
        GateResult("outcome", Verdict.NEED_MORE_DATA, "few"),
        GateResult("prometheus", Verdict.PASS, "fine", candidate=1.5, samples=4),
    )
    state = msgspec.structs.replace(a_state(Phase.CANARY, spec=a_spec(gates=gates)), last=last)
    outcomes = Outcomes()
    look = await Looker(FakeControlStore(), outcomes).look("digits", a_routing(state))
    assert look.evidence.outcomes == {"clicks": MOMENTS}
    assert outcomes.asked == [("digits", state.outcome_stage, "clicks")]
    assert {at: (one.value, one.in_a_row) for at, one in look.evidence.prometheus.items()} == {
        1: (1.5, 4)
    }


async def test_a_look_that_was_never_written_down_has_no_readings() -> None:
    gates = (PrometheusGate(url="http://prometheus", query="up", min=0.5),)
    state = a_state(Phase.CANARY, spec=a_spec(gates=gates))
    look = await Looker(FakeControlStore(), Outcomes()).look("digits", a_routing(state))
    assert look.evidence.prometheus == {}
