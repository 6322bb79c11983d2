"""Who answers: versions, labels, routes; what is counted of it, and whom it is told."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.core.deadline import Deadline
from penstock.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ModelFailed,
    NotFound,
    NotReady,
    PenstockError,
)
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.lifecycle.on_demand import OnDemand, OnDemandOptions
from penstock.repository.manifest import Queue
from penstock.router.counts import PairCounts, VariantCounts
from penstock.router.route import Route, RoutingKey, Rule, Shadow, Variant
from penstock.router.router import Router
from penstock.testing.fake_loader import FakeLoader, FaultyLoader
from tests.unit.lifecycle.building import model, turn

from .routing import Town, Version, ask, route

LIMIT_S = 5
STAGED = {"stage": "s"}


@dataclasses.dataclass
class Witness:
    """A tee and exposures that remember what they were told."""

    offered: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    seen: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    followed: list[Route | None] = dataclasses.field(default_factory=list)

    def follow(self, model: str, route: Route | None) -> None:
        self.followed.append(route)

    def offer(
        self, model: str, route: Route, request: InferRequest, response: InferResponse
    ) -> None:
        self.offered.append((model, response.version))

    def counts(self, model: str) -> PairCounts | None:
        return PairCounts(pairs=len(self.offered))

    def exposed(self, model: str, route: Route, variant: str, key: str, prediction_id: str) -> None:
        self.seen.append((variant, key, prediction_id))


@pytest.fixture
async def town() -> Town:
    """Versions 1 and 2 serve."""
    made = Town()
    await made.serve(1, 2, labels={"best": 2, "old": 1})
    return made


@pytest.fixture
def witness(town: Town) -> Witness:
    made = Witness()
    town.table.tee = town.table.exposures = made
    return made


def counts(town: Town, name: str) -> VariantCounts:
    counted = town.table.counts("m")
    assert counted is not None
    return counted.variants[name]


async def test_without_a_route_the_newest_answers_and_nothing_is_added(town: Town) -> None:
    response = await town.ask()
    assert (response.version, response.parameters) == (2, {"own": 1})
    assert town.table.counts("m") is None
    town.table.set("other", route())
    assert (await town.ask()).parameters == {"own": 1}


async def test_callers_are_shared_out_and_stay_where_they_are(town: Town) -> None:
    town.table.set("m", route(30))
    first = await town.asked(200)
    assert 30 < first.count(2) < 90
    assert await town.asked(200) == first
    town.table.set("m", route(60))
    more = await town.asked(200)
    assert all(now == 2 for was, now in zip(first, more, strict=True) if was == 2)
    town.table.set("m", route(0))
    assert set(await town.asked(50)) == {1}
    town.table.set("m", None)
    assert set(await town.asked(10)) == {2}


async def test_the_answer_says_which_variant_gave_it(town: Town) -> None:
    town.table.set("m", route(100))
    response = await town.ask()
    assert response.parameters == {"own": 1, "variant": "canary"}
    town.table.set("m", Route(variants=(Variant(name="only", version=1, weight=100),)))
    assert (await town.ask()).parameters == {"own": 1}


async def test_an_explicit_version_wins_and_is_nobodys_business(
    town: Town, witness: Witness
) -> None:
    town.table.set("m", route(100, shadow=Shadow(version=1), experiment="e", **STAGED))
    response = await town.ask(VersionChoice(version=1))
    assert (response.version, response.parameters) == (1, {"own": 1})
    assert counts(town, "stable").requests == counts(town, "canary").requests == 0
    assert (witness.offered, witness.seen) == ([], [])
    with pytest.raises(NotFound):
        await town.ask(VersionChoice(version=9))


async def test_a_label_of_the_route_wins_over_one_of_the_manifest(town: Town) -> None:
    town.table.set("m", route(100, labels={"best": 1, "new": 2}))
    for label, version in (("best", 1), ("new", 2), ("old", 1)):
        response = await town.ask(VersionChoice(label=label))
        assert (response.version, response.parameters) == (version, {"own": 1})
    with pytest.raises(NotFound, match="label 'none' is not found"):
        await town.ask(VersionChoice(label="none"))
    town.table.set("m", None)
    assert (await town.ask(VersionChoice(label="best"))).version == 2


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (RoutingKey(header="x-id"), lambda n: {"headers": {b"x-id": b"%d" % n}}),
        (RoutingKey(parameter="id"), lambda n: {"parameters": {"id": n}}),
        (RoutingKey(client=True), lambda n: {"client": f"{n}"}),
    ],
)
async def test_every_source_of_a_key_assigns_alike(
    town: Town, key: RoutingKey, fields: Any
) -> None:
    town.table.set("m", route(50, key=RoutingKey(header="x-user"), salt="s"))
    expected = await town.asked(50)
    town.table.set("m", route(50, key=key, salt="s"))
    assert [(await town.ask(**fields(n))).version for n in range(50)] == expected
    counted = town.table.counts("m")
    assert counted is not None
    assert counted.unkeyed == 0


async def test_an_input_can_be_the_key(town: Town) -> None:
    town.table.set("m", route(50, key=RoutingKey(input="x")))
    first = {(await town.ask()).version for _ in range(5)}
    assert len(first) == 1
    town.draws = [0.1, 0.9]
    assert [(await town.ask(rows=2)).version for _ in range(2)] == [1, 2]
    counted = town.table.counts("m")
    assert counted is not None
    assert counted.unkeyed == 2


async def test_requests_without_a_key_are_assigned_each_by_itself_and_counted(town: Town) -> None:
    town.table.set("m", route(50))
    town.draws = [0.1, 0.9, 0.49, 0.51]
    empty = {b"x-user": b""}
    answers = [await town.ask(headers=headers) for headers in ({}, {}, empty, empty)]
    assert [one.version for one in answers] == [1, 2, 1, 2]
    counted = town.table.counts("m")
    assert counted is not None
    assert counted.unkeyed == 4
    assert town.stats.unkeyed == {"m": 4}
    town.table.set("m", route(50, key=RoutingKey()))
    town.draws = [0.9]
    assert (await town.ask()).version == 2
    assert town.stats.unkeyed == {"m": 4}


async def test_rules_come_first_in_their_order(town: Town) -> None:
    rules = (
        Rule(header="x-group", equals="tester", variant="canary"),
        Rule(parameter="safe", equals="true", variant="stable"),
        Rule(parameter="safe", equals="true", variant="canary"),
    )
    town.table.set("m", route(0, rules=rules))
    tester = {b"x-group": b"tester"}
    assert (await town.ask(headers=tester)).version == 2
    assert (await town.ask(headers=tester, parameters={"safe": True})).version == 2
    town.table.set("m", route(100, rules=rules))
    assert (await town.ask(parameters={"safe": True})).version == 1
    assert (await town.ask(parameters={"safe": False})).version == 2
    assert counts(town, "stable").requests == 1


async def test_what_is_counted_of_answers(town: Town) -> None:
    town.table.set("m", route(100, **STAGED))
    gate = town.versions[2].gate = asyncio.Event()
    request = ask(rows=3)
    request.timeline.started_ns = town.world.clock.monotonic_ns()
    town.world.clock.advance(0.004)
    task = asyncio.create_task(town.router.infer(request))
    await turn()
    town.world.clock.advance(0.996)
    gate.set()
    await task
    town.versions[2].score = np.nan
    await town.ask()
    counted = counts(town, "canary")
    assert (counted.requests, counted.errors, counted.non_finite) == (2, 0, 1)
    assert counted.predictions == {"0.2": 1}
    assert counted.latency[0] == 1
    (bucket,) = [at for at, count in enumerate(counted.latency) if count and at]
    assert 20e-6 * 1.1 ** (bucket - 1) < 1.0 <= 20e-6 * 1.1**bucket
    assert counts(town, "stable").requests == 0


@pytest.mark.parametrize(
    ("error", "errors", "refused"),
    [
        (ModelFailed("broken"), {"model_failed": 1}, 0),
        (DeadlineExceeded("late"), {"deadline_exceeded": 1}, 0),
        (KeyError("a bug"), {"internal": 1}, 0),
        (InvalidArgument("wrong"), {}, 1),
        (asyncio.CancelledError(), {}, 1),
    ],
)
async def test_whose_fault_an_error_is(
    town: Town, error: BaseException, errors: dict[str, int], refused: int
) -> None:
    town.table.set("m", route(100, **STAGED))
    town.versions[2].error = error
    with pytest.raises(type(error)):
        await town.ask()
    counted = counts(town, "canary")
    assert (counted.codes, counted.refused) == (errors, refused)
    assert counted.requests == counted.errors == len(errors)
    assert town.versions[1].num_asked == 0


async def test_a_request_that_came_too_late_is_its_clients_fault(town: Town) -> None:
    town.table.set("m", route(100, **STAGED))
    town.versions[2].error = DeadlineExceeded("late")
    for left_ns, refused in ((-1, 1), (1, 1)):
        request = ask(deadline=Deadline(1000 + left_ns))
        request.timeline.queued_ns = 1000
        with pytest.raises(DeadlineExceeded):
            await town.router.infer(request)
        assert counts(town, "canary").refused == refused
    assert counts(town, "canary").codes == {"deadline_exceeded": 1}


async def test_a_variant_that_is_not_there_is_stood_in_for(town: Town) -> None:
    town.table.set("m", route(100, **STAGED))
    await town.serve(1)
    response = await town.ask()
    assert (response.version, response.parameters["variant"]) == (1, "stable")
    await town.serve(2)
    town.table.set("m", route(0, **STAGED))
    assert (await town.ask()).version == 2
    await town.serve(3)
    response = await town.ask()
    assert (response.version, "variant" in response.parameters) == (3, False)
    stats = {one.variant: (one.requests, one.fallbacks) for one in town.stats}
    assert stats == {"stable": (1, 2), "canary": (1, 1)}
    assert counts(town, "stable").requests == counts(town, "canary").requests == 1
    await town.serve()
    with pytest.raises(PenstockError):
        await town.ask()


async def test_a_variant_that_cannot_answer_is_stood_in_for_and_it_is_its_error(
    town: Town, witness: Witness
) -> None:
    """Every copy of it is in quarantine: it is ready, and answers NotReady."""
    town.table.set("m", route(100, experiment="e", shadow=Shadow(version=1), **STAGED))
    town.versions[2].error = NotReady("in quarantine")
    for _ in range(3):
        assert (await town.ask()).version == 1
    assert counts(town, "canary").codes == {"not_ready": 3}
    assert (counts(town, "stable").requests, counts(town, "stable").errors) == (3, 0)
    assert (witness.offered, witness.seen) == ([], [])


async def test_where_no_variant_can_answer_the_last_says_why(town: Town) -> None:
    town.table.set("m", route(100, **STAGED))
    for version in town.versions.values():
        version.error = NotReady(f"{version.number} is in quarantine")
    with pytest.raises(NotReady, match="1 is in quarantine"):
        await town.ask()
    assert counts(town, "canary").codes == counts(town, "stable").codes == {"not_ready": 1}
    await town.serve(1, 2, 3)
    assert (await town.ask()).version == 3


async def test_a_swap_under_load_fails_nobody() -> None:
    """Each answer is of a version of the route before or of the one after; none is lost."""
    town = Town()
    await town.serve(1, 2)
    gates = {number: asyncio.Event() for number in (1, 2)}
    for number, gate in gates.items():
        town.versions[number].gate = gate
    town.table.set("m", route(50, stage="one"))
    before = [asyncio.create_task(town.router.infer(_keyed(n))) for n in range(100)]
    await turn()
    town.table.set("m", route(100, stage="two"))
    after = [asyncio.create_task(town.router.infer(_keyed(n))) for n in range(100)]
    await turn()
    unloading = asyncio.create_task(town.serve(2))
    await turn()
    for gate in gates.values():
        gate.set()
    first = [one.version for one in await asyncio.gather(*before)]
    second = [one.version for one in await asyncio.gather(*after)]
    await unloading
    assert (set(first), set(second)) == ({1, 2}, {2})
    assert counts(town, "canary").requests == 100
    assert counts(town, "stable").requests == 0
    assert sum(one.requests for one in town.stats) == 200


async def test_versions_that_come_and_go_under_load_fail_nobody(town: Town) -> None:
    town.table.set("m", route(50))
    done = False

    async def client(number: int) -> int:
        count = 0
        while not done:
            response = await town.router.infer(_keyed(number * 1000 + count))
            assert response.version in (1, 2, 3)
            count += 1
            await asyncio.sleep(0)
        return count

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for numbers in ((1,), (1, 2), (2,), (2, 3), (3,), (1, 2, 3), (1, 2)):
        await town.serve(*numbers)
        await turn()
        town.table.set("m", route(len(numbers) * 30))
        await turn()
    done = True
    assert min(await asyncio.gather(*clients)) > 0


async def test_counting_goes_on_within_a_stage_and_begins_anew_with_the_next(town: Town) -> None:
    town.table.set("m", route(100, stage="one"))
    await town.ask()
    town.table.set("m", route(0, stage="one"))
    await town.ask()
    assert counts(town, "canary").requests == counts(town, "stable").requests == 1
    town.table.set("m", route(0, stage="two"))
    assert counts(town, "stable").requests == 0
    town.table.set("m", None)
    assert town.table.counts("m") is None


async def test_exposures_of_an_experiment(town: Town, witness: Witness) -> None:
    rules = (Rule(parameter="forced", equals="1", variant="canary"),)
    town.table.set("m", route(100, experiment="e", rules=rules))
    by = {b"x-user": b"Zo\xeb"}
    first = await town.ask(headers=by, id="mine")
    assert first.parameters == {"own": 1, "variant": "canary", "prediction_id": "mine"}
    second = await town.ask(headers={**by, b"x-request-id": b"sent"})
    assert second.parameters["prediction_id"] == "sent"
    third = await town.ask(headers=by)
    made = third.parameters["prediction_id"]
    assert len(str(made)) == 32
    assert witness.seen == [
        ("canary", "Zoë", "mine"),
        ("canary", "Zoë", "sent"),
        ("canary", "Zoë", made),
    ]
    without_key = await town.ask()
    by_rule = await town.ask(headers=by, parameters={"forced": 1})
    assert "prediction_id" in without_key.parameters
    assert "prediction_id" in by_rule.parameters
    assert len(witness.seen) == 3
    town.table.set("m", route(100, experiment="e", key=RoutingKey()))
    await town.ask(id="one")
    assert witness.seen[-1] == ("canary", "", "one")


async def test_a_failed_request_is_neither_exposed_nor_copied(town: Town, witness: Witness) -> None:
    town.table.set("m", route(100, experiment="e", shadow=Shadow(version=1)))
    town.versions[2].error = ModelFailed("broken")
    with pytest.raises(ModelFailed):
        await town.ask(headers={b"x-user": b"1"})
    assert (witness.offered, witness.seen) == ([], [])


async def test_answers_are_offered_to_the_shadow_of_their_route(
    town: Town, witness: Witness
) -> None:
    shadowed = route(0, shadow=Shadow(version=2), **STAGED)
    town.table.set("m", shadowed)
    await town.ask()
    assert witness.offered == [("m", 1)]
    counted = town.table.counts("m")
    assert counted is not None
    assert counted.pairs == PairCounts(pairs=1)
    town.table.set("m", None)
    await town.ask()
    assert witness.offered == [("m", 1)]
    assert witness.followed == [shadowed, None]


async def test_two_variants_of_one_version_are_told_apart(town: Town) -> None:
    variants = tuple(Variant(name=name, version=1, weight=50) for name in "ab")
    town.table.set("m", Route(variants=variants, key=RoutingKey(header="x-user"), **STAGED))
    assert set(await town.asked(50)) == {1}
    assert counts(town, "a").requests + counts(town, "b").requests == 50
    assert counts(town, "a").requests > 5


async def test_a_wrong_route_leaves_the_one_before(town: Town) -> None:
    town.table.set("m", route(100))
    with pytest.raises(InvalidArgument):
        town.table.set("m", Route(variants=()))
    assert (await town.ask()).version == 2
    assert town.table.route("m") == route(100)


def test_the_table_knows_the_headers_its_routes_look_at() -> None:
    table = Town().table
    rules = (Rule(header="x-group", equals="1", variant="stable"),)
    table.set("a", route(rules=rules))
    table.set("b", route(key=RoutingKey(header="x-session"), experiment="e"))
    assert table.headers.names == {b"x-group", b"x-user", b"x-session", b"x-request-id"}
    assert table.headers.lengths == {6, 7, 9, 12}
    table.set("b", None)
    assert table.headers.names == {b"x-group", b"x-user"}
    assert (len(table), bool(Town().table)) == (1, False)


class ColdTown(Town):
    """The same, with models that are loaded when they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        manager, clock = self.world.manager, self.world.clock
        queue = Queue(default_timeout_s=7)
        self.on_demand = OnDemand(manager, OnDemandOptions(), lambda _: queue, clock, clock.sleep)
        self.router = Router(manager, self.on_demand, self.table, clock)


async def test_a_cold_model_is_brought_for_the_variant_that_was_chosen() -> None:
    town = ColdTown()
    one, two = FakeLoader(Version(1)), FakeLoader(Version(2))
    cold = msgspec.structs.replace(model("m", {1: one, 2: two}), on_demand=True)
    town.world.manager.set_aspired([cold])
    town.table.set("m", route(100, **STAGED))
    request = ask()
    response = await asyncio.wait_for(town.router.infer(request), LIMIT_S)
    assert (response.version, response.parameters["variant"]) == (2, "canary")
    assert request.deadline is not None
    assert counts(town, "canary").requests == 1
    assert [one.fallbacks for one in town.stats] == [0, 0]


async def test_a_cold_model_whose_candidate_is_broken_answers_by_another() -> None:
    town = ColdTown()
    broken = FaultyLoader([ModelFailed("broken")] * 9)
    cold = msgspec.structs.replace(
        model("m", {1: FakeLoader(Version(1)), 2: broken}), on_demand=True
    )
    town.world.manager.set_aspired([cold])
    town.table.set("m", route(100, **STAGED))
    requests = [asyncio.create_task(town.router.infer(_keyed(n))) for n in range(5)]
    answers = await asyncio.wait_for(asyncio.gather(*requests), LIMIT_S)
    assert [one.version for one in answers] == [1] * 5
    assert counts(town, "stable").requests == 5


async def test_a_model_that_nobody_knows_is_not_found() -> None:
    town = Town()
    town.table.set("m", route(100))
    with pytest.raises(NotFound):
        await town.ask()


def _keyed(number: int) -> InferRequest:
    return ask(headers={b"x-user": b"%d" % number})
