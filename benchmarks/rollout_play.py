"""Whole rollouts on a clock that is made up, decided by what decides in the server."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.rollout_traffic import Traffic, Version
from penstock.evidence.verdict import Verdict
from penstock.rollout.actions import start
from penstock.rollout.decide import decide
from penstock.rollout.plan import CANDIDATE
from penstock.rollout.routes import weight_of
from penstock.rollout.seen import Evidence, Readiness
from penstock.rollout.spec import (
    Bake,
    ErrorRateGate,
    LatencyGate,
    PredictionShiftGate,
    RolloutSpec,
    Step,
)

PLAN = RolloutSpec(
    model="simulated",
    candidate=2,
    reference=1,
    steps=tuple(Step(weight=weight, min_time_s=10.0, timeout_s=7200.0) for weight in (5, 25, 50)),
    bake=Bake(min_time_s=30.0, timeout_s=7200.0),
    gates=(
        ErrorRateGate(max_increase=0.005),
        LatencyGate(quantile=0.99, max_ratio=1.5),
        PredictionShiftGate(max_distance=0.1),
    ),
)
GOOD = Version()
READY = Readiness(processes=1, candidate=1, reference=1)
MOST_LOOKS = 20_000


@dataclass(frozen=True)
class Played:
    """How a rollout ended.

    `phase` is the last one, or "paused"; `gate` what it was rolled back for, "" if it was not.
    `candidate` and `requests` are those of the stage that it ended in; `looks` all of its looks,
    a second each.
    """

    phase: str
    stage: str
    gate: str
    candidate: int
    requests: int
    looks: int


def play(candidate: Version, rps: float, seed: int, plan: RolloutSpec = PLAN) -> Played:
    """Play one rollout from its start to its end: a look each second."""
    routing = start(plan, None, {1}, "simulation", now_ms=0)
    state = routing.rollout
    assert state is not None
    traffic = Traffic(GOOD, candidate, rps, seed)
    for look in range(1, MOST_LOOKS):
        stage = state
        counts = traffic.second(state.stage, weight_of(state))
        state = decide(state, Evidence(counts=counts, readiness=READY), look * 1000) or state
        if state.phase.is_end or state.is_paused:
            failed = [gate.gate for gate in state.last if gate.verdict is Verdict.FAIL]
            return Played(
                phase="paused" if state.is_paused else str(state.phase),
                stage=f"{stage.phase} {weight_of(stage):g} %",
                gate=failed[0] if failed else "",
                candidate=traffic.requests[CANDIDATE],
                requests=sum(traffic.requests.values()),
                looks=look,
            )
    raise RuntimeError(f"no end after {MOST_LOOKS} looks: {state.last}")
