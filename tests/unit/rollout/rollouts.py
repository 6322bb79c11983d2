"""Rollouts, counts and evidence to test with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.evidence.means import Moments
from penstock.rollout.plan import CANDIDATE, REFERENCE
from penstock.rollout.routes import route_of
from penstock.rollout.seen import Evidence, Readiness
from penstock.rollout.spec import Bake, RolloutSpec, ShadowStage, Step
from penstock.rollout.state import ModelRouting, Phase, RolloutState
from penstock.router.counts import NUM_LATENCIES, PairCounts, StageCounts, VariantCounts

START_MS = 1_000_000
READY = Readiness(processes=2, candidate=2, reference=2)
SHADOW = ShadowStage(min_samples=50, min_time_s=5, timeout_s=1000)
STEPS = (
    Step(weight=5, min_samples=100, min_time_s=10, timeout_s=1000),
    Step(weight=50, min_samples=100, min_time_s=10, timeout_s=1000),
)
BAKE = Bake(min_samples=100, min_time_s=20, timeout_s=1000)


def a_spec(**fields: Any) -> RolloutSpec:
    """A plan of two steps from version 1 to version 2."""
    known: dict[str, Any] = {
        "model": "digits",
        "candidate": 2,
        "reference": 1,
        "steps": STEPS,
        "bake": BAKE,
    }
    return RolloutSpec(**{**known, **fields})


def a_state(phase: Phase, step: int = 0, spec: RolloutSpec | None = None) -> RolloutState:
    """A rollout that entered a phase at ``START_MS``."""
    return RolloutState(
        id="digits-1", spec=spec or a_spec(), phase=phase, step=step, entered_ms=START_MS
    )


def a_routing(state: RolloutState) -> ModelRouting:
    return ModelRouting(route=route_of(state), rollout=state)


def after(state: RolloutState, seconds: float) -> int:
    """So long after the state's phase began, in milliseconds."""
    return state.entered_ms + int(seconds * 1000)


def a_variant(
    requests: int,
    errors: int = 0,
    *,
    bucket: int = 60,
    predictions: Mapping[str, int] | None = None,
    non_finite: int = 0,
) -> VariantCounts:
    """A variant whose answers all took about as long."""
    return VariantCounts(
        requests=requests,
        errors=errors,
        latency=latencies({bucket: requests - errors}),
        predictions=dict(predictions or {}),
        non_finite=non_finite,
    )


def latencies(counts: Mapping[int, int]) -> list[int]:
    """Buckets with so many answers each."""
    return [counts.get(place, 0) for place in range(NUM_LATENCIES)]


def seen_of(
    state: RolloutState,
    candidate: VariantCounts | None = None,
    reference: VariantCounts | None = None,
    *,
    pairs: PairCounts | None = None,
    **fields: Any,
) -> Evidence:
    """Evidence of the state's stage, both versions being ready everywhere."""
    variants = {CANDIDATE: candidate, REFERENCE: reference}
    known = {name: counts for name, counts in variants.items() if counts is not None}
    counts = StageCounts(state.stage, known, pairs)
    return msgspec.structs.replace(Evidence(counts=counts, readiness=READY), **fields)


def copies(pairs: int, agreed: int, *, errors: int = 0) -> PairCounts:
    """Copies of one row each."""
    return PairCounts(
        pairs=pairs,
        agreed=agreed,
        errors=errors,
        latency=latencies({60: pairs}),
        comparison="class",
    )


def moments(count: int, mean: float, deviation: float = 1.0) -> Moments:
    """The moments of so many values, half of them on each side of the mean."""
    return Moments(count=count, mean=mean, m2=count * deviation**2)
