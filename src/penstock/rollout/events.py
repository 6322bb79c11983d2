"""Events: the changes of a rollout as others are told of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.rollout.state import GateResult, RolloutState, Transition

_log: Final = logging.getLogger("penstock.rollout")

_GRAVE = frozenset({"rolled back", "failed", "paused"})


class RolloutEvent(msgspec.Struct, frozen=True, rename={"before": "from"}):
    """One change of a rollout, as a webhook gets it.

    Attributes:
        id: unlike that of any other event; the same where an event is sent again.
        model: the model's name.
        rollout: the rollout's id.
        candidate, reference: the versions.
        before: the phase it left, such as ``canary 5 %``; "": it has just begun. ``from`` in JSON.
        to: the phase it reached, ``paused`` or ``rolled back``.
        who: ``controller``, or whoever asked.
        why: one sentence.
        at_ms: when, in milliseconds since 1970.
        gates: the answers that led to it.
    """

    id: str
    model: str
    rollout: str
    candidate: int
    reference: int | None
    before: str
    to: str
    who: str
    why: str
    at_ms: int
    gates: tuple[GateResult, ...] = ()


def events_of(state: RolloutState, after: str = "") -> list[RolloutEvent]:
    """The changes of a rollout that came after one of them, the oldest first. Pure.

    Args:
        state: the rollout.
        after: the id of the event before; "", or one that is no longer in the history: all.
    """
    found: list[RolloutEvent] = []
    before = ""
    for line in state.history:
        event = _event(state, before, line, _repeats(found, line))
        before = line.to
        found.append(event)
    places = [place for place, event in enumerate(found) if event.id == after]
    return found[places[-1] + 1 :] if places else found


def log_event(event: RolloutEvent) -> None:
    """Write an event to the log ``penstock.rollout``, its parts as fields of their own."""
    level = logging.WARNING if event.to in _GRAVE else logging.INFO
    _log.log(
        level,
        "rollout of '%s' to version %d: %s (%s): %s",
        event.model,
        event.candidate,
        event.to,
        event.who,
        event.why,
        extra={
            "event": event.id,
            "model": event.model,
            "rollout": event.rollout,
            "from": event.before,
            "to": event.to,
            "who": event.who,
            "why": event.why,
            "gates": [msgspec.to_builtins(gate) for gate in event.gates],
        },
    )


def _event(state: RolloutState, before: str, line: Transition, repeats: int) -> RolloutEvent:
    return RolloutEvent(
        id=f"{state.id}/{line.at_ms}/{line.to.replace(' ', '_')}/{repeats}",
        model=state.spec.model,
        rollout=state.id,
        candidate=state.spec.candidate,
        reference=state.spec.reference,
        before=before,
        to=line.to,
        who=line.who,
        why=line.why,
        at_ms=line.at_ms,
        gates=line.gates,
    )


def _repeats(found: Sequence[RolloutEvent], line: Transition) -> int:
    """How many of the events before are the same one but for their place."""
    return sum((event.at_ms, event.to) == (line.at_ms, line.to) for event in found)
