"""Where a rollout stands, for people: what it waits for, or why it ended."""

from __future__ import annotations

from penstock.rollout.decide import CONTROLLER
from penstock.rollout.gates.gates import judge
from penstock.rollout.plan import title
from penstock.rollout.routes import weight_of
from penstock.rollout.seen import Evidence
from penstock.rollout.state import GateResult, Phase, RolloutState
from penstock.rollout.waiting import missing


def gates_now(state: RolloutState, seen: Evidence) -> tuple[GateResult, ...]:
    """What the gates say at this moment; of a rollout that has ended, what they said then."""
    return state.last if state.phase.is_end else judge(state, seen)


def explanation(state: RolloutState, seen: Evidence, now_ms: int) -> str:
    """What a rollout waits for, or how it ended and why, in a few sentences.

    Args:
        state: where it is.
        seen: what is known now.
        now_ms: the time, in milliseconds since 1970.
    """
    version, last = state.spec.candidate, state.history[-1] if state.history else None
    why = "" if last is None else last.why
    match state.phase:
        case Phase.DONE:
            return f"Version {version} gets all requests: {why}."
        case Phase.ROLLED_BACK | Phase.FAILED:
            return f"Version {version} gets no requests ({state.phase}): {why}."
        case Phase.DRAFT if not state.is_paused:
            return f"Version {version} is about to be loaded."
    where = f"Version {version} gets {weight_of(state):g} % of the requests"
    waits = missing(state, seen, judge(state, seen), now_ms)
    if state.asked is not None:
        return f"{where}. {state.asked.who} wants it to move on: {state.asked.why}."
    if state.is_paused:
        open_ones = f" Open: {'; '.join(waits)}." if waits else ""
        by_itself = last is not None and last.who == CONTROLLER  # then what was open is told anew
        reason = why.partition(": ")[0] if by_itself else why
        return f"{where}, and stays there until it is resumed: {reason}.{open_ones}"
    stage = title(state.spec, state.phase, state.step)
    text = "; ".join(waits) or "nothing: it moves on at the next look"
    return f"{where}. The stage '{stage}' waits for {text}."
