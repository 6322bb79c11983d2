"""What people do with routes and rollouts: pure, from what there is to what shall be."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from penstock.core.errors import FailedPrecondition, NotFound
from penstock.rollout.feasibility import check
from penstock.rollout.moves import enter, note
from penstock.rollout.plan import title
from penstock.rollout.routes import route_of
from penstock.rollout.spec import RolloutSpec
from penstock.rollout.state import Asked, ModelRouting, Phase, RolloutState
from penstock.router.route import Route, check_route


def start(
    spec: RolloutSpec,
    routing: ModelRouting | None,
    ready: Collection[int],
    who: str,
    now_ms: int,
) -> ModelRouting:
    """Begin a rollout. No request goes elsewhere before the controller's first look.

    Args:
        spec: the plan.
        routing: what there is of the model; None: nothing.
        ready: the model's versions that answer now.
        who: asks.
        now_ms: when, in milliseconds since 1970; it is part of the rollout's id.

    Raises:
        ConfigError: the plan can never decide.
        InvalidArgument: its routing key is none.
        FailedPrecondition: a rollout or an experiment is under way, the route splits the requests,
            or the reference does not answer, or the candidate does already.
    """
    check(spec)
    now = routing or ModelRouting()
    _check_free(now, spec.model)
    spec = msgspec.structs.replace(spec, reference=_reference(spec, now.route, ready))
    state = RolloutState(
        id=f"{spec.model}-{now_ms:x}",
        spec=spec,
        entered_ms=now_ms,
        before=now.route,
    )
    warm = route_of(msgspec.structs.replace(state, phase=Phase.WARM))
    if warm is not None:
        check_route(warm)
    why = f"from version {spec.reference} to {spec.candidate}"
    state = note(state, to=str(Phase.DRAFT), who=who, why=why, now_ms=now_ms)
    return _with(now, state)


def pause(routing: ModelRouting | None, who: str, why: str, now_ms: int) -> ModelRouting:
    """Stay where it is. What fails still rolls back.

    Raises:
        FailedPrecondition: it has ended, or is paused already.
        NotFound: there is no rollout.
    """
    now, state = _live(routing, "paused")
    if state.is_paused:
        raise FailedPrecondition(f"the rollout of {state.spec.model} is paused already")
    state = msgspec.structs.replace(state, is_paused=True, asked=None)
    why = why or "paused by hand"
    return _with(now, note(state, to="paused", who=who, why=why, now_ms=now_ms))


def resume(routing: ModelRouting | None, who: str, why: str, now_ms: int) -> ModelRouting:
    """Go on. What was counted in this stage stays; its times begin anew.

    Raises:
        FailedPrecondition: it has ended, or is not paused.
        NotFound: there is no rollout.
    """
    now, state = _live(routing, "resumed")
    if not state.is_paused:
        raise FailedPrecondition(f"the rollout of {state.spec.model} is not paused")
    state = msgspec.structs.replace(state, is_paused=False, entered_ms=now_ms)
    to = title(state.spec, state.phase, state.step)
    why = why or "resumed by hand"
    return _with(now, note(state, to=to, who=who, why=why, now_ms=now_ms))


def promote(
    routing: ModelRouting | None, who: str, why: str, now_ms: int, *, to_bake: bool = False
) -> ModelRouting:
    """Move on at the next look, without waiting for evidence; one that is paused goes on.

    Args:
        routing: what there is of the model; None: nothing.
        who: asks.
        why: one sentence; "": none given.
        now_ms: when, in milliseconds since 1970.
        to_bake: send all requests to the candidate at once, instead of one stage further.

    Raises:
        FailedPrecondition: it has ended, or bakes already and ``to_bake`` is asked for.
        NotFound: there is no rollout.
    """
    now, state = _live(routing, "promoted")
    if to_bake and state.phase is Phase.BAKE:
        raise FailedPrecondition(
            f"all requests go to version {state.spec.candidate} already: promote it without 'full' "
            "to end the rollout"
        )
    asked = Asked(now_ms, who, why or "promoted by hand", to_bake)
    return _with(now, msgspec.structs.replace(state, asked=asked))


def abort(routing: ModelRouting | None, who: str, why: str, now_ms: int) -> ModelRouting:
    """Roll back by hand: at once.

    Raises:
        FailedPrecondition: it has ended.
        NotFound: there is no rollout.
    """
    now, state = _live(routing, "rolled back")
    why = why or "aborted by hand"
    return _with(now, enter(state, Phase.ROLLED_BACK, who=who, why=why, now_ms=now_ms))


def set_route(routing: ModelRouting | None, route: Route | None, model: str) -> ModelRouting:
    """Replace the route by hand; None: the newest version answers.

    Raises:
        FailedPrecondition: a rollout or an experiment is under way, which moves the route.
    """
    now = routing or ModelRouting()
    _check_free(now, model)
    return msgspec.structs.replace(now, route=route)


def _with(routing: ModelRouting, state: RolloutState) -> ModelRouting:
    return msgspec.structs.replace(routing, rollout=state, route=route_of(state))


def _live(routing: ModelRouting | None, verb: str) -> tuple[ModelRouting, RolloutState]:
    state = None if routing is None else routing.rollout
    if routing is None or state is None:
        raise NotFound("there is no rollout of this model: begin one with 'penstock rollout start'")
    if state.phase.is_end:
        text = f"the rollout of {state.spec.model} has ended ({state.phase}): it cannot be {verb}"
        raise FailedPrecondition(text)
    return routing, state


def _check_free(routing: ModelRouting, model: str) -> None:
    state = routing.rollout
    if state is not None and not state.phase.is_end:
        raise FailedPrecondition(
            f"a rollout of {model} to version {state.spec.candidate} is under way "
            f"({title(state.spec, state.phase, state.step)}): wait for its end, or end it with "
            f"'penstock rollout abort {model}'"
        )
    if routing.route is not None and routing.route.experiment:
        raise FailedPrecondition(
            f"an experiment shares out the requests of {model}: end it with "
            f"'penstock experiment stop {model}'"
        )


def _reference(spec: RolloutSpec, route: Route | None, ready: Collection[int]) -> int:
    """The version to compare with: it answers now, alone, and is not the candidate."""
    reference = _unrouted(spec, ready) if route is None else _routed(spec, route)
    if reference == spec.candidate:
        raise FailedPrecondition(
            f"version {reference} of {spec.model} answers already: it cannot be rolled out"
        )
    if reference not in ready:
        raise FailedPrecondition(
            f"version {reference} of {spec.model}, the reference, is not ready: 'penstock route "
            f"set {spec.model} stable={reference}:100' loads it"
        )
    return reference


def _unrouted(spec: RolloutSpec, ready: Collection[int]) -> int:
    if spec.reference is not None:
        return spec.reference
    if not ready:
        raise FailedPrecondition(
            f"no version of {spec.model} is ready: there is nothing to compare with"
        )
    newest = max(ready)
    if newest == spec.candidate:
        raise FailedPrecondition(
            f"version {newest} of {spec.model} answers already, being the newest: name the "
            "'reference', which then gets all requests until the canary begins"
        )
    return newest


def _routed(spec: RolloutSpec, route: Route) -> int:
    hint = f"set it first: 'penstock route set {spec.model} stable=VERSION:100'"
    used = {variant.version for variant in route.variants if variant.weight > 0}
    if len(used) != 1 or route.rules:
        raise FailedPrecondition(
            f"the route of {spec.model} shares its requests out, and a rollout starts from one "
            f"version that gets all: {hint}"
        )
    (only,) = used
    if spec.reference not in (None, only):
        raise FailedPrecondition(
            f"reference: version {spec.reference} does not answer now, the route of {spec.model} "
            f"sends all requests to {only}: {hint}"
        )
    return only
