"""Who answers in each state of a rollout."""

from __future__ import annotations

import msgspec
import pytest

from penstock.rollout.routes import route_of, weight_of
from penstock.rollout.spec import OutcomeGate
from penstock.rollout.state import Phase
from penstock.router.route import Route, RoutingKey, Shadow, Variant
from tests.unit.rollout.rollouts import SHADOW, a_spec, a_state

BEFORE = Route(
    variants=(Variant(name="only", version=1, weight=100),),
    key=RoutingKey(client=True),
    labels={"old": 0, "stable": 1},
    keep=(7,),
)


def shares(route: Route | None) -> list[tuple[str, int, float]]:
    assert route is not None
    return [(one.name, one.version, one.weight) for one in route.variants]


@pytest.mark.parametrize(
    ("phase", "step", "weight"),
    [
        (Phase.WARM, 0, 0),
        (Phase.SHADOW, 0, 0),
        (Phase.CANARY, 0, 5),
        (Phase.CANARY, 1, 50),
        (Phase.BAKE, 0, 100),
    ],
)
def test_weights(phase: Phase, step: int, weight: float) -> None:
    state = a_state(phase, step, a_spec(shadow=SHADOW))
    route = route_of(state)
    assert shares(route) == [("stable", 1, 100 - weight), ("canary", 2, weight)]
    assert weight_of(state) == weight
    assert route is not None
    assert (route.stage, route.salt) == (state.stage, state.id)
    assert route.labels == {"stable": 1, "canary": 2}
    assert route.versions == {1, 2}
    assert (route.shadow is not None) == (phase is Phase.SHADOW)


def test_the_shadow_is_the_plans() -> None:
    plan = msgspec.structs.replace(SHADOW, sample=0.5, output="y", compare="numbers", tolerance=0.1)
    route = route_of(a_state(Phase.SHADOW, spec=a_spec(shadow=plan)))
    assert route is not None
    assert route.shadow == Shadow(
        version=2, sample=0.5, output="y", compare="numbers", tolerance=0.1
    )


def test_every_stage_is_counted_anew() -> None:
    states = [a_state(Phase.WARM), a_state(Phase.CANARY), a_state(Phase.CANARY, 1)]
    assert len({state.stage for state in [*states, a_state(Phase.BAKE)]}) == 4


def test_done() -> None:
    route = route_of(a_state(Phase.DONE))
    assert shares(route) == [("stable", 2, 100)]
    assert route is not None
    assert (route.labels, route.versions, route.stage) == ({"stable": 2, "canary": 2}, {2}, "")


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.FAILED])
def test_back(phase: Phase) -> None:
    state = a_state(phase)
    route = route_of(state)
    assert shares(route) == [("stable", 1, 100)]
    assert route is not None
    assert route.labels == {"stable": 1, "canary": 1}
    labels = {"old": 0, "stable": 1, "canary": 1}
    back = route_of(msgspec.structs.replace(state, before=BEFORE))
    assert back == msgspec.structs.replace(BEFORE, labels=labels)


@pytest.mark.parametrize("before", [None, BEFORE])
def test_both_labels_name_who_answers_at_every_end(before: Route | None) -> None:
    for phase, version in ((Phase.ROLLED_BACK, 1), (Phase.FAILED, 1), (Phase.DONE, 2)):
        route = route_of(msgspec.structs.replace(a_state(phase), before=before))
        assert route is not None
        assert {route.labels["stable"], route.labels["canary"]} == {version}
        assert version in {one.version for one in route.variants if one.weight == 100}


def test_what_there_was_before() -> None:
    state = msgspec.structs.replace(a_state(Phase.CANARY), before=BEFORE)
    route = route_of(state)
    assert route is not None
    assert route.labels == {"old": 0, "stable": 1, "canary": 2}
    assert (route.keep, route.key) == ((7,), RoutingKey(client=True))
    own = msgspec.structs.replace(state, spec=a_spec(key=RoutingKey(header="x-user-id")))
    assert (route_of(own) or route).key == RoutingKey(header="x-user-id")
    done = route_of(msgspec.structs.replace(state, phase=Phase.DONE))
    assert done is not None
    assert (done.labels, done.keep) == ({"old": 0, "stable": 2, "canary": 2}, (7,))
    draft = msgspec.structs.replace(state, phase=Phase.DRAFT)
    assert route_of(draft) == BEFORE
    assert route_of(a_state(Phase.DRAFT)) is None


def test_outcomes_are_told_to_each_step_apart() -> None:
    spec = a_spec(gates=(OutcomeGate(name="clicks", max_loss=1),))
    states = [a_state(Phase.CANARY, step, spec) for step in (0, 1)]
    routes = [route_of(state) for state in (*states, a_state(Phase.BAKE, spec=spec))]
    told = [route.experiment for route in routes if route is not None]
    assert told == ["digits-1/canary/0", "digits-1/canary/1", ""]
    assert [state.outcome_stage for state in states] == told[:2]
    plain = route_of(a_state(Phase.CANARY))
    assert plain is not None
    assert plain.experiment == ""
