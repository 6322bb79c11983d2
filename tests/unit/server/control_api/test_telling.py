"""What is told of a rollout and of a route."""

from __future__ import annotations

import msgspec
import pytest

from penstock.rollout.report import ProcessReport
from penstock.rollout.state import ModelRouting, Phase
from penstock.router.counts import LATENCY_BOUNDS_S, NUM_LATENCIES, PairCounts, StageCounts
from penstock.router.route import Route, Shadow, Variant
from penstock.server.control_api.telling import (
    MAX_PREDICTIONS,
    quantile_ms,
    rollout_answer,
    route_answer,
    seen,
    told_needs,
)
from tests.unit.rollout.rollouts import (
    a_routing,
    a_spec,
    a_state,
    a_variant,
    after,
    copies,
    latencies,
    seen_of,
)


def test_a_rollout_tells_its_numbers() -> None:
    state = a_state(Phase.CANARY, 1)
    evidence = seen_of(state, a_variant(300, 3), a_variant(280))
    reports = {"p": ProcessReport(5, evidence.counts, (1, 2), {3: "broken"})}
    told = rollout_answer(state, a_routing(state), evidence, reports, after(state, 5))
    assert (told.model, told.phase, told.stage) == ("digits", Phase.CANARY, "canary 50 %")
    assert (told.candidate, told.reference, told.weight) == (2, 1, 50.0)
    assert told.seen.variants["canary"].requests == 300
    assert told.seen.variants["canary"].errors == 3
    assert told.seen.variants["stable"].version == 1
    assert told.seen.processes[0].failures == {"3": "broken"}
    assert len(told.gates) == len(state.spec.gates)
    assert all(gate.message for gate in told.gates)
    assert "waits for" in told.explanation
    assert not told.is_over


def test_a_paused_rollout_says_so() -> None:

    state = msgspec.structs.replace(a_state(Phase.CANARY), is_paused=True)
    told = rollout_answer(state, a_routing(state), seen_of(state), {}, after(state, 5))
    assert told.stage == "canary 5 %, paused"


def test_a_route_tells_who_moves_it() -> None:
    state = a_state(Phase.CANARY)
    told = route_answer("digits", a_routing(state), [1, 2], None)
    assert (told.rollout, told.ready) == ("canary", (1, 2))
    ended = a_state(Phase.DONE)
    assert route_answer("digits", a_routing(ended), [2], None).rollout == ""
    assert route_answer("digits", ModelRouting(), [2], None).route is None


def test_shadows_and_variants_of_before() -> None:
    route = Route(
        variants=(Variant(name="stable", version=1, weight=100),), shadow=Shadow(version=2)
    )
    counts = StageCounts("s", {"gone": a_variant(4)}, copies(10, 9, errors=1))
    told = seen(route, counts, {})
    assert told.variants["gone"].version is None
    assert told.variants["stable"].requests == 0
    assert told.shadow is not None
    assert (told.shadow.version, told.shadow.pairs, told.shadow.agreed) == (2, 10, 9)
    assert seen(None, StageCounts(), {}).shadow is None
    waiting = seen(route, StageCounts(), {}).shadow
    assert waiting is not None
    assert (waiting.pairs, waiting.p50_ms) == (0, None)
    left = seen(None, StageCounts("s", {}, PairCounts()), {}).shadow
    assert left is not None
    assert left.version is None


def test_only_the_most_frequent_predictions_are_told() -> None:
    predictions = {f"class-{number}": number for number in range(1, 50)}
    route = Route(variants=(Variant(name="stable", version=1, weight=100),))
    counts = StageCounts("s", {"stable": a_variant(1000, predictions=predictions)})
    told = seen(route, counts, {}).variants["stable"].predictions
    assert len(told) == MAX_PREDICTIONS
    assert next(iter(told)) == "class-49"


def test_quantiles() -> None:
    assert quantile_ms([0] * NUM_LATENCIES, 0.5) is None
    spread = latencies({10: 98, 60: 2})
    assert quantile_ms(spread, 0.5) == pytest.approx(LATENCY_BOUNDS_S[10] * 1e3)
    assert quantile_ms(spread, 0.99) == pytest.approx(LATENCY_BOUNDS_S[60] * 1e3)
    beyond = latencies({NUM_LATENCIES - 1: 1})
    assert quantile_ms(beyond, 0.5) == pytest.approx(LATENCY_BOUNDS_S[-1] * 1e3)


def test_what_a_plan_takes_is_told_for_each_stage() -> None:
    told = told_needs(a_spec())
    assert [one.partition(":")[0] for one in told] == ["canary 5 %", "canary 50 %", "bake"]
    assert all("requests of version 2" in one for one in told)
