"""What the gates of a stage say of what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from penstock.evidence.verdict import Verdict
from penstock.rollout.gates.counts import (
    Sides,
    agreement,
    error_rate,
    latency,
    prediction_shift,
)
from penstock.rollout.gates.outcome import outcome
from penstock.rollout.gates.prometheus import prometheus
from penstock.rollout.plan import CANDIDATE, REFERENCE, Levels, gates_of, levels
from penstock.rollout.seen import Evidence
from penstock.rollout.spec import (
    AgreementGate,
    ErrorRateGate,
    Gate,
    LatencyGate,
    OutcomeGate,
    PredictionShiftGate,
    PrometheusGate,
)
from penstock.rollout.state import GateResult, Phase, RolloutState
from penstock.router.counts import PairCounts, StageCounts, VariantCounts
from penstock.router.route import RoutingKey


def judge(state: RolloutState, seen: Evidence) -> tuple[GateResult, ...]:
    """Every gate of the present stage, in the plan's order.

    Law: of no requests no gate passes but one of Prometheus, and none fails.

    Args:
        state: where the rollout is.
        seen: what is known; counts of another stage are left out.
    """
    compared, level = sides(state, seen.counts), levels(state.spec)
    gates = gates_of(state.spec, state.phase)
    return tuple(_judge(gate, compared, seen, index, level) for index, gate in enumerate(gates))


def sides(state: RolloutState, counts: StageCounts) -> Sides:
    """Whom the gates compare in the present stage."""
    now = counts if counts.stage == state.stage else StageCounts(state.stage)
    candidate = now.variants.get(CANDIDATE, VariantCounts())
    held_against = now
    if state.phase is Phase.SHADOW:
        candidate = _of_copies(now.pairs or PairCounts())
    elif state.phase is Phase.BAKE:
        held_against = state.baseline or StageCounts()
    reference = held_against.variants.get(REFERENCE, VariantCounts())
    is_concurrent = state.phase is Phase.CANARY and state.spec.key == RoutingKey()
    return Sides(candidate, reference, now.pairs or PairCounts(), is_concurrent=is_concurrent)


def is_any(results: Sequence[GateResult], verdict: Verdict) -> bool:
    """Whether one of the gates says this."""
    return any(result.verdict is verdict for result in results)


def _of_copies(pairs: PairCounts) -> VariantCounts:
    """What became of the copies, as if they were a variant's requests."""
    answered = sum(pairs.latency)
    return VariantCounts(
        requests=answered + pairs.errors, errors=pairs.errors, latency=pairs.latency
    )


def _judge(gate: Gate, compared: Sides, seen: Evidence, index: int, level: Levels) -> GateResult:
    match gate:
        case ErrorRateGate():
            return error_rate(gate, compared, level)
        case LatencyGate():
            return latency(gate, compared, level)
        case AgreementGate():
            return agreement(gate, compared, level)
        case PredictionShiftGate():
            return prediction_shift(gate, compared, level)
        case OutcomeGate():
            return outcome(gate, seen.outcomes.get(gate.name, {}), level)
        case PrometheusGate():
            return prometheus(gate, seen.prometheus.get(index))
        case _:
            assert_never(gate)
