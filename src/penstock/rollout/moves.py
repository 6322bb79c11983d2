"""How a rollout goes from one state to the next: the change, and its line in the history."""

from __future__ import annotations

import msgspec

from penstock.rollout.plan import title
from penstock.rollout.state import GateResult, Phase, RolloutState, Transition

MAX_HISTORY = 100
"""Changes that are kept; the oldest go first."""


def note(
    state: RolloutState,
    *,
    to: str,
    who: str,
    why: str,
    now_ms: int,
    gates: tuple[GateResult, ...] = (),
) -> RolloutState:
    """The same state with a line more in its history."""
    line = Transition(now_ms, to, who, why, gates)
    return msgspec.structs.replace(state, history=(*state.history, line)[-MAX_HISTORY:])


def enter(
    state: RolloutState,
    phase: Phase,
    step: int = 0,
    *,
    who: str,
    why: str,
    now_ms: int,
    gates: tuple[GateResult, ...] = (),
) -> RolloutState:
    """The state at the beginning of a phase or step: not paused, nothing asked, nothing looked at.

    The last look's gates stay where the rollout ends, for people to read.
    """
    moved = msgspec.structs.replace(
        state,
        phase=phase,
        step=step,
        entered_ms=now_ms,
        is_paused=False,
        asked=None,
        last=gates if phase.is_end else (),
        looked_ms=0,
    )
    return note(
        moved, to=title(state.spec, phase, step), who=who, why=why, now_ms=now_ms, gates=gates
    )
