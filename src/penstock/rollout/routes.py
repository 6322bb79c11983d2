"""The route of a rollout: where it stands says who answers."""

from __future__ import annotations

import msgspec

from penstock.rollout.plan import CANDIDATE, REFERENCE
from penstock.rollout.spec import OutcomeGate
from penstock.rollout.state import Phase, RolloutState
from penstock.router.route import Route, RoutingKey, Shadow, Variant


def route_of(state: RolloutState) -> Route | None:
    """Who answers in this state of a rollout.

    Law: the reference is loaded in every state but the last, so rolling back loads nothing; the
    candidate has no weight before the canary and after a rollback. Both labels point at a version
    that is loaded, from the warm-up on and after the end, so a request that names one never fails
    of a transition.

    Returns:
        the route; None: the newest version answers, as before the rollout.
    """
    match state.phase:
        case Phase.DRAFT:
            return state.before
        case Phase.ROLLED_BACK | Phase.FAILED:
            return _back(state)
        case Phase.DONE:
            return _alone(state, state.spec.candidate)
        case _:
            return _of_both(state)


def weight_of(state: RolloutState) -> float:
    """The candidate's share of the requests, in percent."""
    match state.phase:
        case Phase.CANARY:
            return state.spec.steps[state.step].weight
        case Phase.BAKE | Phase.DONE:
            return 100.0
        case _:
            return 0.0


def _of_both(state: RolloutState) -> Route:
    spec, weight = state.spec, weight_of(state)
    before = state.before or Route(variants=())
    return Route(
        variants=(
            Variant(name=REFERENCE, version=state.reference, weight=100.0 - weight),
            Variant(name=CANDIDATE, version=spec.candidate, weight=weight),
        ),
        key=spec.key if spec.key != RoutingKey() else before.key,
        salt=state.id,
        labels={**before.labels, REFERENCE: state.reference, CANDIDATE: spec.candidate},
        shadow=_shadow(state),
        keep=before.keep,
        stage=state.stage,
        experiment=_experiment(state),
    )


def _experiment(state: RolloutState) -> str:
    """What outcomes are told to: a step, since shares that differ must not be added up."""
    is_asked = any(isinstance(gate, OutcomeGate) for gate in state.spec.gates)
    return state.stage if is_asked and state.phase is Phase.CANARY else ""


def _shadow(state: RolloutState) -> Shadow | None:
    plan = state.spec.shadow
    if state.phase is not Phase.SHADOW or plan is None:
        return None
    return Shadow(
        version=state.spec.candidate,
        sample=plan.sample,
        output=plan.output,
        compare=plan.compare,
        tolerance=plan.tolerance,
    )


def _back(state: RolloutState) -> Route:
    """The route there was before, with the labels of the rollout."""
    alone = _alone(state, state.reference)
    if state.before is None:
        return alone
    return msgspec.structs.replace(state.before, labels=alone.labels)


def _alone(state: RolloutState, version: int) -> Route:
    before = state.before or Route(variants=())
    return Route(
        variants=(Variant(name=REFERENCE, version=version, weight=100.0),),
        key=before.key,
        labels={**before.labels, REFERENCE: version, CANDIDATE: version},
        keep=before.keep,
    )
