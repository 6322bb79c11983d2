"""The history of a model's routes and rollouts, read from the control store's changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from penstock.rollout.state import ModelRouting, Transition
from penstock.server.control_api.answers import HistoryEntry
from penstock.stores.control_store import Change


def history_of(changes: Iterable[Change]) -> list[HistoryEntry]:
    """What became of a model's route, the oldest first.

    A rollout tells its own steps, each once. A change of the route alone is told as such; what was
    only looked at is not told.

    Args:
        changes: of the model's subject, the oldest first.
    """
    entries: list[HistoryEntry] = []
    before = ModelRouting()
    for change in changes:
        try:
            now = msgspec.convert(change.value or {}, ModelRouting)
        except msgspec.ValidationError:
            entries.append(_entry(change, "written by another version of Penstock"))
            continue
        steps = _new_steps(before, now)
        if change.undoes:
            entries.append(_entry(change, "taken back"))
        elif steps and now.rollout is not None:
            rollout = now.rollout.id
            entries += [_of_step(step, rollout) for step in steps]
        elif now.experiment != before.experiment and now.experiment is not None:
            entries.append(_entry(change, f"experiment {now.experiment.get('phase', '')}".strip()))
        elif now.route != before.route:
            entries.append(_entry(change, "route cleared" if now.route is None else "route set"))
        before = now
    return entries


def _new_steps(before: ModelRouting, now: ModelRouting) -> Sequence[Transition]:
    """What a rollout's history has that it did not have before."""
    if now.rollout is None:
        return ()
    same = before.rollout is not None and before.rollout.id == now.rollout.id
    known = (
        before.rollout.history[-1] if same and before.rollout and before.rollout.history else None
    )
    if known is None:
        return now.rollout.history
    steps = now.rollout.history
    places = [place for place, step in enumerate(steps) if step == known]
    return steps[places[-1] + 1 :] if places else steps


def _of_step(step: Transition, rollout: str) -> HistoryEntry:
    return HistoryEntry(step.at_ms, step.to, step.who, step.why, rollout, step.gates)


def _entry(change: Change, what: str) -> HistoryEntry:
    return HistoryEntry(change.at_ms, what, change.who, change.why)
