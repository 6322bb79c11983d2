"""What a request is lent, and what it is told when there is nothing to lend."""

import asyncio

import pytest

from penstock.core.errors import LoadFailed, NotFound, NotReady, PenstockError
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.source import AspiredModel
from penstock.lifecycle.manager import ManagerOptions
from penstock.testing.fake_loader import FakeLoader, FaultyLoader, PuppetLoader

from .building import World, model, turn


async def test_latest_is_the_largest_ready_version() -> None:
    world = World()
    await world.serve(model("m", {9: FakeLoader(), 10: FakeLoader()}))
    assert world.ask("m") == 10
    assert world.ask("m", number=9) == 9
    assert world.manager.ready_versions("m") == [9, 10]


async def test_latest_is_not_a_larger_one_that_still_loads() -> None:
    world = World()
    loading = PuppetLoader()
    await world.serve(model("m", {1: FakeLoader()}))
    world.manager.set_aspired([model("m", {1: FakeLoader(), 2: loading})])
    await turn()
    assert world.ask("m") == 1
    loading.finish_load()
    await world.manager.wait_settled()
    assert world.ask("m") == 2


async def test_a_label_stands_where_a_version_may_stand() -> None:
    world = World()
    loaders = {1: FakeLoader(), 2: FakeLoader()}
    await world.serve(model("m", loaders, labels={"stable": 1, "canary": 2}))
    assert world.ask("m", label="stable") == 1
    assert world.ask("m", label="canary") == 2
    await world.serve(model("m", loaders, labels={"stable": 2}))
    assert world.ask("m", label="stable") == 2
    assert world.manager.handle("m", VersionChoice(1, "stable")).id.version == 1


@pytest.mark.parametrize(
    ("name", "choice", "kind", "text"),
    [
        ("foo", LATEST, NotFound, "Request for unknown model: 'foo' is not found"),
        ("foo", VersionChoice(1), NotFound, "Request for unknown model: 'foo' is not found"),
        (
            "m",
            VersionChoice(99),
            NotFound,
            "Request for unknown model: 'm' version 99 is not found",
        ),
        ("m", VersionChoice(2), NotReady, "'m' version 2 is not at ready state"),
        (
            "m",
            VersionChoice(label="x"),
            NotFound,
            "Request for unknown model: 'm' label 'x' is not found; "
            "its labels are ['canary', 'lost', 'stable']",
        ),
        (
            "m",
            VersionChoice(label="canary"),
            NotReady,
            "'m' label 'canary' points at version 2, which is not at ready state",
        ),
        (
            "m",
            VersionChoice(label="lost"),
            NotReady,
            "'m' label 'lost' points at version 7, which is not at ready state",
        ),
        ("bad", LATEST, NotReady, "Request for unknown model: 'bad' has no available versions"),
        ("bad", VersionChoice(1), NotReady, "'bad' version 1 is not at ready state"),
        ("none", LATEST, NotReady, "Request for unknown model: 'none' has no available versions"),
    ],
)
async def test_texts(
    name: str, choice: VersionChoice, kind: type[PenstockError], text: str
) -> None:
    world = World(ManagerOptions(close_grace_s=0))
    loading = PuppetLoader()
    labels = {"stable": 1, "canary": 2, "lost": 7}
    world.manager.set_aspired(
        [
            model("m", {1: FakeLoader(), 2: loading}, labels=labels),
            model("bad", {1: FaultyLoader([LoadFailed("no", retryable=True)] * 3)}),
            AspiredModel("none"),
        ]
    )
    await turn()
    for ask in (world.manager.handle, world.manager.servable):
        with pytest.raises(kind) as caught:
            ask(name, choice)
        assert type(caught.value) is kind
        assert caught.value.message == text
    await world.manager.aclose(0)


async def test_peeking_takes_no_lease() -> None:
    world = World()
    loader = FakeLoader()
    await world.serve(model("m", {1: loader}))
    assert world.manager.servable("m") is loader.servable
    await world.serve()
    assert loader.num_unloads == 1


async def test_statuses_carry_labels_and_reasons() -> None:
    world = World()
    bad = FaultyLoader([LoadFailed("no", retryable=True)] * 3)
    world.manager.set_aspired(
        [
            model("b", {1: bad}),
            model("a", {1: FakeLoader(), 2: FakeLoader()}, labels={"z": 2, "y": 2}),
        ]
    )
    await asyncio.wait_for(world.clock.wait_for_sleepers(), 5)
    rows = world.manager.statuses()
    assert [
        (row.id.name, row.id.version, row.state.value, row.reason, row.labels) for row in rows
    ] == [
        ("a", 1, "ready", "", ()),
        ("a", 2, "ready", "", ("y", "z")),
        ("b", 1, "loading", "no", ()),
    ]
    assert world.manager.statuses("a") == rows[:2]
    assert world.manager.statuses("nobody") == []
    assert world.manager.ready_versions("nobody") == []
    assert world.manager.failures("nobody") == []
    await world.manager.aclose(5)


async def test_a_replacement_on_its_way_has_one_status_with_what_serves() -> None:
    world = World()
    await world.serve(model("m", {1: FakeLoader()}, "a"))
    bad = FaultyLoader([LoadFailed("no good", retryable=True)] * 3)
    world.manager.set_aspired([model("m", {1: bad}, "b")])
    await asyncio.wait_for(world.clock.wait_for_sleepers(), 5)
    (row,) = world.manager.statuses("m")
    assert (row.state.value, row.revision, row.reason) == ("ready", "a", "no good")
    for wait_s in (0.5, 1.0):
        await asyncio.wait_for(world.clock.wait_for_sleepers(), 5)
        world.clock.advance(wait_s)
        await turn()
    (row,) = world.manager.statuses("m")
    assert (row.state.value, row.revision, row.reason) == ("ready", "a", "no good")
    (failure,) = world.manager.failures("m")
    assert (failure.state.value, failure.revision, failure.reason) == ("failed", "b", "no good")
    assert world.manager.is_ready()


async def test_the_nearest_name_is_offered() -> None:
    world = World()
    await world.serve(model("iris", {1: FakeLoader()}, labels={"stable": 1}))
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'irs' is not found, did you"):
        world.manager.handle("irs")
    with pytest.raises(NotFound, match=r"its labels are \['stable'\], did you mean 'stable'\?$"):
        world.manager.handle("iris", VersionChoice(label="stabel"))
    with pytest.raises(NotFound, match=r"is not found$"):
        world.manager.handle("iri" * 100)


async def test_a_label_that_leads_nowhere_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    loaders = {1: FakeLoader(), 2: FakeLoader()}
    for labels in ({"stable": 7}, {"stable": 7}, {"stable": 1}, {"stable": 7, "newest": 2}):
        await world.serve(model("iris", loaders, labels=labels))
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    text = (
        "'iris': label 'stable' points at version 7, which does not serve; versions that do: 1, 2"
    )
    assert warnings == [text] * 2  # it was mended between
