"""The history of a model's routes and rollouts."""

from __future__ import annotations

import msgspec

from penstock.rollout import actions
from penstock.rollout.decide import CONTROLLER
from penstock.rollout.moves import enter
from penstock.rollout.state import ModelRouting, Phase
from penstock.rollout.subjects import plain_routing
from penstock.router.route import Route, Variant
from penstock.server.control_api.history import history_of
from penstock.stores.control_store import Change
from tests.unit.rollout.rollouts import START_MS, a_spec


def change(revision: int, routing: ModelRouting | None, **fields: object) -> Change:
    value = None if routing is None else plain_routing(routing)
    made = Change(revision, "route/digits", value, who="ann", why="so", at_ms=revision)
    return msgspec.structs.replace(made, **fields)


ROUTE = Route(variants=(Variant(name="stable", version=1, weight=100),))


def test_routes_are_set_and_cleared() -> None:
    changes = [change(1, ModelRouting(route=ROUTE)), change(2, ModelRouting())]
    told = history_of(changes)
    assert [(one.what, one.who, one.why, one.at_ms) for one in told] == [
        ("route set", "ann", "so", 1),
        ("route cleared", "ann", "so", 2),
    ]


def test_each_step_of_a_rollout_is_told_once() -> None:
    routing = actions.start(a_spec(), ModelRouting(), [1], "ann", START_MS)
    assert routing.rollout is not None
    looked = msgspec.structs.replace(routing.rollout, is_paused=False, last=())
    state = enter(looked, Phase.WARM, who=CONTROLLER, why="loading", now_ms=START_MS + 1)
    warm = msgspec.structs.replace(routing, rollout=state)
    aborted = actions.abort(warm, "ben", "enough", START_MS + 2)
    told = history_of([change(1, routing), change(2, warm), change(3, warm), change(4, aborted)])
    assert [(one.what, one.who) for one in told] == [
        ("draft", "ann"),
        ("warm", "controller"),
        ("rolled back", "ben"),
    ]
    assert {one.rollout for one in told} == {state.id}


def test_two_rollouts_are_told_apart() -> None:
    first = actions.start(a_spec(), ModelRouting(), [1], "ann", START_MS)
    ended = actions.abort(first, "ann", "", START_MS + 1)
    second = actions.start(a_spec(), ended, [1], "ann", START_MS + 2)
    told = history_of([change(1, first), change(2, ended), change(3, second)])
    assert [one.what for one in told] == ["draft", "rolled back", "draft"]
    assert len({one.rollout for one in told}) == 2


def test_what_was_taken_back_or_cannot_be_read_is_said() -> None:
    told = history_of(
        [
            change(1, ModelRouting(route=ROUTE)),
            change(2, None, undoes=1),
            change(3, None, value={"route": 7}),
        ]
    )
    assert [one.what for one in told] == [
        "route set",
        "taken back",
        "written by another version of Penstock",
    ]


def test_of_nothing_there_is_none() -> None:
    assert history_of([]) == []
