"""Experiments from start to end: the route in every state, and what is refused where."""

from __future__ import annotations

import msgspec
import pytest

from penstock.core.errors import FailedPrecondition, InvalidArgument, NotFound
from penstock.rollout import actions as rollouts
from penstock.rollout.experiment import actions
from penstock.rollout.experiment.state import ExperimentPhase, experiment_of
from penstock.rollout.spec import RolloutSpec
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import plain_routing, read_routing
from penstock.router.counts import StageCounts, VariantCounts
from penstock.router.route import Route, Rule, Variant, check_route
from tests.unit.rollout.experiment.values import NOW_MS, running, spec_of, state_of

BEFORE = Route(
    variants=(Variant(name="old", version=7, weight=100.0),),
    rules=(Rule(header="x-tester", equals="1", variant="old"),),
    labels={"prod": 7},
    keep=(6,),
)


def started(before: Route | None = None, ready: tuple[int, ...] = (1, 2, 7)) -> ModelRouting:
    return actions.start(spec_of(), ModelRouting(route=before), ready, "ann", NOW_MS)


def test_a_start_shares_requests_out_at_once_where_all_versions_are_ready() -> None:
    routing = started(BEFORE)
    state, route = state_of(routing), routing.route
    assert route is not None
    check_route(route)
    assert state.phase is ExperimentPhase.RUNNING
    assert [(one.name, one.version, one.weight) for one in route.variants] == [
        ("control", 1, 50),
        ("b", 2, 50),
    ]
    assert route.experiment == route.stage == route.salt == state.id
    assert (route.key.header, route.labels, route.rules) == ("x-user", {"prod": 7}, ())
    assert {6, 7} <= route.versions  # what answered before stays loaded
    assert (state.history[-1].who, state.history[-1].to) == ("ann", "running")


def test_two_experiments_assign_independently() -> None:
    one, other = running(spec_of()), running(spec_of(name="second"), NOW_MS)
    assert one.route is not None
    assert other.route is not None
    assert one.route.salt != other.route.salt


@pytest.mark.parametrize("before", [None, BEFORE])
def test_versions_that_are_not_ready_are_loaded_first(before: Route | None) -> None:
    routing = started(before, ready=(1, 7))
    route = routing.route
    assert route is not None
    check_route(route)
    assert state_of(routing).phase is ExperimentPhase.WARM
    assert [one.version for one in route.variants if one.weight] == [7]  # as before
    assert {1, 2} <= route.versions
    assert route.stage != state_of(routing).id
    ran = actions.run(routing, state_of(routing).id, NOW_MS + 5)
    assert state_of(ran).phase is ExperimentPhase.RUNNING
    assert state_of(ran).started_ms == NOW_MS + 5


def test_an_experiment_that_never_began_leaves_the_route_as_it_was() -> None:
    routing = started(BEFORE, ready=(7,))
    failed = actions.fail(routing, state_of(routing).id, "version 2 is broken", NOW_MS)
    assert failed.route == BEFORE
    assert state_of(failed).phase is ExperimentPhase.FAILED
    with pytest.raises(FailedPrecondition):
        actions.run(failed, state_of(routing).id, NOW_MS)


@pytest.mark.parametrize("before", [None, BEFORE])
def test_a_stop_restores_the_route_before(before: Route | None) -> None:
    counts = StageCounts("s", {"b": VariantCounts(5)})
    ended = actions.stop(started(before), "", "ann", "seen enough", NOW_MS + 9, counts)
    assert ended.route == before
    assert state_of(ended).counts == counts
    assert state_of(ended).history[-1].why == "seen enough"


def test_a_stop_may_keep_a_variant() -> None:
    ended = actions.stop(started(BEFORE), "b", "ann", "", NOW_MS, None)
    assert ended.route is not None
    assert [(one.version, one.weight) for one in ended.route.variants] == [(2, 100)]
    assert ended.route.labels == {"prod": 7, "stable": 2}
    assert (ended.route.experiment, ended.route.stage, state_of(ended).kept) == ("", "", "b")
    check_route(ended.route)


def test_what_cannot_be_stopped_says_why() -> None:
    running_now = started()
    with pytest.raises(InvalidArgument, match="keep: expected one of control, b, got 'c'"):
        actions.stop(running_now, "c", "ann", "", NOW_MS, None)
    with pytest.raises(NotFound, match="no experiment"):
        actions.stop(ModelRouting(), "", "ann", "", NOW_MS, None)
    ended = actions.stop(running_now, "", "ann", "", NOW_MS, None)
    with pytest.raises(FailedPrecondition, match="has ended already"):
        actions.stop(ended, "", "ann", "", NOW_MS, None)
    with pytest.raises(FailedPrecondition, match="has not begun"):
        actions.stop(started(ready=(1,)), "b", "ann", "", NOW_MS, None)


@pytest.mark.parametrize("ready", [(1, 2), (1,)])
def test_a_second_experiment_or_a_rollout_beside_it_is_refused(ready: tuple[int, ...]) -> None:
    routing = started(ready=ready)
    with pytest.raises(FailedPrecondition, match="'penstock experiment stop m'"):
        actions.start(spec_of(), routing, [1, 2], "ann", NOW_MS)
    with pytest.raises(FailedPrecondition, match="experiment"):
        rollouts.start(RolloutSpec(model="m", candidate=3), routing, [1, 2], "ann", NOW_MS)
    ended = actions.stop(routing, "", "ann", "", NOW_MS, None)
    assert state_of(actions.start(spec_of(), ended, [1, 2], "ann", NOW_MS + 1)).id


def test_an_experiment_beside_a_rollout_is_refused() -> None:
    before = Route(variants=(Variant(name="stable", version=1, weight=100.0),))
    spec = RolloutSpec(model="m", candidate=2)
    routing = rollouts.start(spec, ModelRouting(route=before), [1], "ann", NOW_MS)
    with pytest.raises(FailedPrecondition, match="'penstock rollout abort m'"):
        actions.start(spec_of(), routing, [1, 2], "ann", NOW_MS)


def test_a_start_needs_a_version_that_answers() -> None:
    with pytest.raises(FailedPrecondition, match="no version of m is ready"):
        started(ready=())


def test_shares_move_within_the_stage() -> None:
    routing = started()
    id_ = state_of(routing).id
    moved = actions.weigh(routing, id_, {"control": 20.0, "b": 80.0}, "outcomes", NOW_MS + 1)
    assert moved.route is not None
    assert routing.route is not None
    assert [one.weight for one in moved.route.variants] == [20, 80]
    assert msgspec.structs.replace(moved.route, variants=()) == msgspec.structs.replace(
        routing.route, variants=()
    )
    with pytest.raises(FailedPrecondition):
        actions.weigh(routing, "another", {}, "", NOW_MS)


def test_what_is_written_down_is_read_back() -> None:
    routing = actions.stop(started(BEFORE), "b", "ann", "", NOW_MS, StageCounts("s"))
    read = read_routing(msgspec.json.decode(msgspec.json.encode(plain_routing(routing))))
    assert read == routing
    assert experiment_of(read) == experiment_of(routing)
