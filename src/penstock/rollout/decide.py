"""decide: where a rollout goes from here, on what is known. Pure: it reads no clock."""

from __future__ import annotations

import msgspec

from penstock.rollout.gates.gates import judge, sides
from penstock.rollout.guards import broken
from penstock.rollout.moves import enter, note
from penstock.rollout.plan import REFERENCE, gates_of, next_stage, stage_of, waits_for
from penstock.rollout.seen import Evidence
from penstock.rollout.sentences import duration
from penstock.rollout.state import GateResult, Phase, RolloutState
from penstock.rollout.waiting import elapsed_s, missing, unasked, unready
from penstock.router.counts import StageCounts

CONTROLLER = "controller"
"""Who decides, as the history names it."""

REST_MS = 30_000
"""A look that moves nothing is written down at most so often, in milliseconds: every process reads
the whole state again, and a gate may say something else at each look."""


def decide(state: RolloutState, seen: Evidence, now_ms: int) -> RolloutState | None:
    """Look once.

    What is broken comes first, in every phase and in a paused rollout too: it rolls back. Then
    what somebody asked for. Without that a stage is left for the next one only when every gate
    passes, enough requests of the candidate were seen for long enough, and the versions are ready
    in every process; without a request of the candidate it never is.

    A clock that is set back makes a stage longer. One that is set forward may end a stage's least
    time, or its patience: it pauses, or fails while the candidate still loads. Neither makes up
    a request.

    Args:
        state: where the rollout is.
        seen: what is known.
        now_ms: the time, in milliseconds since 1970.

    Returns:
        what shall be written in place of ``state``, its route being ``route_of`` it; None: nothing
        has changed.
    """
    if state.phase.is_end:
        return None
    if state.phase is Phase.DRAFT:
        return None if state.is_paused and not state.asked else _warmed(state, now_ms)
    gates = judge(state, seen)
    why = broken(state, seen, gates)
    if why:
        end = Phase.FAILED if state.phase is Phase.WARM else Phase.ROLLED_BACK
        return enter(state, end, who=CONTROLLER, why=why, now_ms=now_ms, gates=gates)
    return _moved(state, seen, gates, now_ms) or _looked(state, gates, now_ms)


def _warmed(state: RolloutState, now_ms: int) -> RolloutState:
    why = f"version {state.spec.candidate} is loaded beside version {state.reference}"
    warm = enter(state, Phase.WARM, who=CONTROLLER, why=why, now_ms=now_ms)
    return msgspec.structs.replace(warm, asked=state.asked)


def _moved(
    state: RolloutState, seen: Evidence, gates: tuple[GateResult, ...], now_ms: int
) -> RolloutState | None:
    """The next stage, or a pause; None: it stays where it is."""
    waits = missing(state, seen, gates, now_ms)
    asked = state.asked
    if asked is not None and not unready(state, seen.readiness) and not unasked(state, seen):
        return _advanced(state, seen, asked.who, asked.why, gates, now_ms)
    if state.is_paused:
        return None
    if not waits:
        why = _passed(state, seen, now_ms)
        return _advanced(state, seen, CONTROLLER, why, gates, now_ms)
    return _timed_out(state, waits, gates, now_ms)


def _advanced(
    state: RolloutState,
    seen: Evidence,
    who: str,
    why: str,
    gates: tuple[GateResult, ...],
    now_ms: int,
) -> RolloutState:
    to_bake = state.asked is not None and state.asked.to_bake
    target = (Phase.BAKE, 0) if to_bake else next_stage(state.spec, state.phase, state.step)
    if target[0] is Phase.BAKE:
        state = msgspec.structs.replace(state, baseline=_baseline(state, seen))
    return enter(state, *target, who=who, why=why, now_ms=now_ms, gates=gates)


def _baseline(state: RolloutState, seen: Evidence) -> StageCounts | None:
    """What was counted of the reference in the stage that ends."""
    if stage_of(state.spec, state.phase, state.step) is None:
        return None
    return StageCounts(state.stage, {REFERENCE: sides(state, seen.counts).reference})


def _passed(state: RolloutState, seen: Evidence, now_ms: int) -> str:
    if state.phase is Phase.WARM:
        answers = " and answers as it has to" if state.spec.golden else ""
        number = seen.readiness.processes
        where = f"in {number} serving process{'es' if number > 1 else ''}"
        return f"version {state.spec.candidate} is ready {where}{answers}"
    count = sides(state, seen.counts).candidate.requests
    number = sum(waits_for(gate, state.phase) for gate in gates_of(state.spec, state.phase))
    what = f"all {number} gates pass" if number > 1 else "the gate passes"
    time = duration(elapsed_s(state, now_ms))
    return f"{what if number else 'nothing broke'} with {count:,} requests in {time}"


def _timed_out(
    state: RolloutState, waits: list[str], gates: tuple[GateResult, ...], now_ms: int
) -> RolloutState | None:
    """A pause, or the end of a candidate that does not get ready; None: there is time left."""
    stage = stage_of(state.spec, state.phase, state.step)
    timeout_s = state.spec.warm_timeout_s if stage is None else stage.timeout_s
    if elapsed_s(state, now_ms) < timeout_s:
        return None
    why = f"not decided within {duration(timeout_s)}: " + "; ".join(waits)
    if stage is None:
        return enter(state, Phase.FAILED, who=CONTROLLER, why=why, now_ms=now_ms, gates=gates)
    paused = msgspec.structs.replace(state, is_paused=True, asked=None, last=gates)
    return note(paused, to="paused", who=CONTROLLER, why=why, now_ms=now_ms, gates=gates)


def _looked(state: RolloutState, gates: tuple[GateResult, ...], now_ms: int) -> RolloutState | None:
    """The gates written down where one says something else than before; not soon again.

    One that fails never waits for that: it has ended the rollout by now.
    """
    is_soon = 0 <= now_ms - state.looked_ms < REST_MS
    if is_soon or _verdicts(gates) == _verdicts(state.last):
        return None
    return msgspec.structs.replace(state, last=gates, looked_ms=now_ms)


def _verdicts(gates: tuple[GateResult, ...]) -> list[tuple[str, str]]:
    return [(gate.gate, gate.verdict) for gate in gates]
