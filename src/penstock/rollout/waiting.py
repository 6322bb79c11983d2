"""What a stage still waits for, in words with numbers."""

from __future__ import annotations

from penstock.evidence.verdict import Verdict
from penstock.rollout.gates.gates import sides
from penstock.rollout.plan import gates_of, stage_of, waits_for
from penstock.rollout.seen import Evidence, Readiness
from penstock.rollout.sentences import about, duration
from penstock.rollout.state import GateResult, Phase, RolloutState


def elapsed_s(state: RolloutState, now_ms: int) -> float:
    """How long the present phase lasts, in seconds; 0 where the clock was set back."""
    return max(0, now_ms - state.entered_ms) / 1000


def missing(
    state: RolloutState, seen: Evidence, gates: tuple[GateResult, ...], now_ms: int
) -> list[str]:
    """Everything that has to come before the next stage; empty: nothing."""
    first = [*unready(state, seen.readiness), *unasked(state, seen)]
    stage = stage_of(state.spec, state.phase, state.step)
    if stage is None:
        return first
    waits_s = stage.min_time_s - elapsed_s(state, now_ms)
    if waits_s > 0:
        first.append(f"{duration(waits_s)} of the least time, {duration(stage.min_time_s)}")
    wanted, got = max(stage.min_samples, 1), sides(state, seen.counts).candidate.requests
    if got < wanted:
        first.append(f"{wanted - got:,} more requests of the candidate: {got:,} of {wanted:,}")
    asked = zip(gates_of(state.spec, state.phase), gates, strict=True)
    waited = (said for gate, said in asked if waits_for(gate, state.phase))
    open_ones = (said for said in waited if said.verdict is not Verdict.PASS)
    return [*first, *(f"{said.gate}: {said.message}{_more(said)}" for said in open_ones)]


def unready(state: RolloutState, ready: Readiness) -> list[str]:
    """Which version is not ready in every process. The reference may be missing in the bake."""
    versions = [(state.spec.candidate, ready.candidate)]
    if state.phase is not Phase.BAKE:
        versions.append((state.reference, ready.reference))
    if not ready.processes:
        return ["the serving processes to tell which versions are ready"]
    return [
        f"version {version} to be ready in all serving processes: {count} of {ready.processes}"
        for version, count in versions
        if count < ready.processes
    ]


def unasked(state: RolloutState, seen: Evidence) -> list[str]:
    """Golden requests that have no answer yet."""
    is_open = state.phase is Phase.WARM and state.spec.golden and seen.golden is None
    return ["the answers to the golden requests"] if is_open else []


def _more(gate: GateResult) -> str:
    return "" if gate.needed is None else f"; about {about(gate.needed)} more needed"
