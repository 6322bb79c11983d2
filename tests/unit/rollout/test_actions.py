"""What people may do with a rollout, in each of its states, and what they may not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from penstock.core.errors import ConfigError, FailedPrecondition, InvalidArgument, NotFound
from penstock.rollout.actions import abort, pause, promote, resume, set_route, start
from penstock.rollout.routes import route_of
from penstock.rollout.state import Asked, ModelRouting, Phase, RolloutState
from penstock.router.route import Route, RoutingKey, Rule, Variant
from tests.unit.rollout.rollouts import START_MS, a_routing, a_spec, a_state

NOW_MS = START_MS + 5000
ALONE = Route(variants=(Variant(name="old", version=1, weight=100),))
SPLIT = Route(
    variants=(Variant(name="a", version=1, weight=90), Variant(name="b", version=3, weight=10))
)
ENDS = [phase for phase in Phase if phase.is_end]
LIVE = [phase for phase in Phase if not phase.is_end]

Action = Callable[[ModelRouting | None, str, str, int], ModelRouting]
ACTIONS: list[Action] = [pause, resume, promote, abort]


def rollout_of(routing: ModelRouting) -> RolloutState:
    assert routing.rollout is not None
    return routing.rollout


def test_start_from_the_newest_version() -> None:
    spec = a_spec(reference=None, candidate=3)
    routing = start(spec, None, [1, 2], "ann", NOW_MS)
    state = rollout_of(routing)
    assert (state.reference, state.phase, state.before) == (2, Phase.DRAFT, None)
    assert (state.id, state.entered_ms) == (f"digits-{NOW_MS:x}", NOW_MS)
    assert routing.route is None
    (line,) = state.history
    assert (line.to, line.who, line.why) == ("draft", "ann", "from version 2 to 3")


def test_start_from_a_route() -> None:
    routing = start(a_spec(reference=None), ModelRouting(route=ALONE), [1], "ann", NOW_MS)
    state = rollout_of(routing)
    assert (state.reference, state.before, routing.route) == (1, ALONE, ALONE)


def test_start_after_one_that_has_ended() -> None:
    before = a_routing(a_state(Phase.DONE))
    spec = a_spec(candidate=3, reference=None)
    assert rollout_of(start(spec, before, [2], "ann", NOW_MS)).reference == 2


def test_a_reference_that_is_older_than_what_answers() -> None:
    state = rollout_of(start(a_spec(reference=1), None, [1, 2], "ann", NOW_MS))
    assert state.reference == 1


def one_with(route: Route) -> ModelRouting:
    return ModelRouting(route=route)


@pytest.mark.parametrize(
    ("fields", "routing", "ready", "told"),
    [
        (
            {"reference": None},
            None,
            [1, 2],
            "version 2 of digits answers already, being the newest",
        ),
        ({"reference": None}, None, [], "no version of digits is ready"),
        ({}, None, [3], "version 1 of digits, the reference, is not ready"),
        ({"reference": 3}, one_with(ALONE), [1, 3], "sends all requests to 1"),
        ({"candidate": 1, "reference": None}, one_with(ALONE), [1], "version 1 of digits answers"),
        ({"reference": None}, one_with(SPLIT), [1, 3], "shares its requests out"),
        (
            {"reference": None},
            one_with(
                msgspec.structs.replace(
                    ALONE, rules=(Rule(header="x-beta", equals="1", variant="old"),)
                )
            ),
            [1],
            "shares its requests out",
        ),
        (
            {},
            one_with(msgspec.structs.replace(ALONE, experiment="colours")),
            [1],
            "penstock experiment stop digits",
        ),
        ({}, a_routing(a_state(Phase.CANARY)), [1, 2], "is under way (canary 5 %)"),
    ],
)
def test_no_start(
    fields: dict[str, int], routing: ModelRouting | None, ready: list[int], told: str
) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        start(a_spec(**fields), routing, ready, "ann", NOW_MS)
    assert told in caught.value.message


def test_a_plan_that_cannot_decide_does_not_start() -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        start(a_spec(reference=2), None, [1, 2], "ann", NOW_MS)


def test_a_key_of_two_kinds_does_not_start() -> None:
    spec = a_spec(key=RoutingKey(header="x-user-id", client=True))
    with pytest.raises(InvalidArgument, match="key: expected at most one"):
        start(spec, None, [1, 2], "ann", NOW_MS)


@pytest.mark.parametrize("phase", LIVE)
def test_pause_and_resume(phase: Phase) -> None:
    paused = pause(a_routing(a_state(phase)), "ann", "lunch", NOW_MS)
    state = rollout_of(paused)
    assert (state.phase, state.is_paused) == (phase, True)
    assert [(one.to, one.who, one.why) for one in state.history] == [("paused", "ann", "lunch")]
    assert paused.route == route_of(state)
    resumed = rollout_of(resume(paused, "bob", "", NOW_MS + 1))
    assert (resumed.is_paused, resumed.entered_ms) == (False, NOW_MS + 1)
    assert resumed.history[-1].why == "resumed by hand"


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("phase", LIVE)
def test_abort_from_everywhere(phase: Phase, is_paused: bool) -> None:
    before = msgspec.structs.replace(a_state(phase), before=ALONE, is_paused=is_paused)
    routing = abort(a_routing(before), "ann", "it smells", NOW_MS)
    state = rollout_of(routing)
    assert (state.phase, state.is_paused) == (Phase.ROLLED_BACK, False)
    labels = {"stable": 1, "canary": 1}
    assert routing.route == msgspec.structs.replace(ALONE, labels=labels)
    line = state.history[-1]
    assert (line.to, line.who, line.why) == ("rolled back", "ann", "it smells")


@pytest.mark.parametrize("phase", LIVE)
def test_promote_asks(phase: Phase) -> None:
    routing = a_routing(a_state(phase))
    asked = promote(routing, "ann", "", NOW_MS)
    assert asked.route == routing.route
    assert rollout_of(asked).asked == Asked(NOW_MS, "ann", "promoted by hand")
    if phase is Phase.BAKE:
        with pytest.raises(FailedPrecondition, match="all requests go to version 2 already"):
            promote(routing, "ann", "", NOW_MS, to_bake=True)
    else:
        full = rollout_of(promote(routing, "ann", "", NOW_MS, to_bake=True))
        assert full.asked == Asked(NOW_MS, "ann", "promoted by hand", to_bake=True)


def test_a_pause_takes_back_what_was_asked() -> None:
    asked = promote(a_routing(a_state(Phase.CANARY)), "ann", "", NOW_MS)
    assert rollout_of(pause(asked, "bob", "", NOW_MS)).asked is None


def test_twice_is_refused() -> None:
    running = a_routing(a_state(Phase.CANARY))
    with pytest.raises(FailedPrecondition, match="is not paused"):
        resume(running, "ann", "", NOW_MS)
    with pytest.raises(FailedPrecondition, match="is paused already"):
        pause(pause(running, "ann", "", NOW_MS), "ann", "", NOW_MS)


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_to_act_on(action: Action) -> None:
    for routing in (None, ModelRouting(route=ALONE)):
        with pytest.raises(NotFound, match="no rollout"):
            action(routing, "ann", "", NOW_MS)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("phase", ENDS)
def test_ends_stay(phase: Phase, action: Action) -> None:
    with pytest.raises(FailedPrecondition, match=rf"has ended \({phase}\)"):
        action(a_routing(a_state(phase)), "ann", "", NOW_MS)


def test_a_route_is_set_by_hand_where_no_rollout_moves_it() -> None:
    assert set_route(None, SPLIT, "digits") == ModelRouting(route=SPLIT)
    done = a_routing(a_state(Phase.DONE))
    cleared = set_route(done, None, "digits")
    assert (cleared.route, cleared.rollout) == (None, done.rollout)
    with pytest.raises(FailedPrecondition, match="penstock rollout abort digits"):
        set_route(a_routing(a_state(Phase.WARM)), SPLIT, "digits")
