"""What a serving process that died leaves behind of the rollouts it was in."""

from __future__ import annotations

import msgspec

from penstock.rollout.collector import read_reports
from penstock.rollout.moves import enter
from penstock.rollout.routes import route_of
from penstock.rollout.state import ModelRouting, Phase, RolloutState
from penstock.rollout.subjects import counts_subject, plain_routing, read_routing, route_subject
from penstock.stores.control_store import Change, ControlStore, Wish

SUPERVISOR = "supervisor"
"""Who takes note of deaths, as the history names it."""


def is_route(subject: str) -> bool:
    """Whether a subject of the control store is a model's route.

    A route is taken in without waiting for anything: no process dies of that, and a rollback must
    not be taken back because of a death.
    """
    return subject.startswith(route_subject(""))


async def fail_rollouts(
    store: ControlStore, process_id: str, number: int, now_ms: int
) -> list[str]:
    """Fail the rollouts whose candidate a process was loading when it died.

    What kills one process while it loads kills each that loads it next. A process that had it
    loaded, or had told why it cannot be, died of something else.

    Args:
        store: what all share.
        process_id: the process.
        number: its place.
        now_ms: the time, in milliseconds since 1970.

    Returns:
        the models.

    Raises:
        StoreError: the store cannot be asked.
    """
    failed = []
    for change in await store.desired():
        state = _loading(change)
        if state is None or not await _was_loading(store, process_id, state):
            continue
        why = f"process {number} died while it loaded version {state.spec.candidate}"
        end = enter(state, Phase.FAILED, who=SUPERVISOR, why=why, now_ms=now_ms)
        routing = msgspec.structs.replace(
            read_routing(change.value), route=route_of(end), rollout=end
        )
        wish = Wish(change.subject, plain_routing(routing), SUPERVISOR, why)
        if await store.change(wish, expected=change.revision) is not None:
            failed.append(state.spec.model)
    return failed


def _loading(change: Change) -> RolloutState | None:
    """The rollout of a subject, if its candidate is being loaded; None: it is not."""
    if not is_route(change.subject):
        return None
    try:
        routing: ModelRouting = read_routing(change.value)
    except msgspec.ValidationError:
        return None
    state = routing.rollout
    return state if state is not None and state.phase is Phase.WARM else None


async def _was_loading(store: ControlStore, process_id: str, state: RolloutState) -> bool:
    told = read_reports(await store.published(counts_subject(state.spec.model)))
    report = told.get(process_id)
    if report is None or report.counts.stage != state.stage:
        return True
    return state.spec.candidate not in (*report.ready, *report.failures)
