"""What should be becomes what is: order, concurrency, memory, waiting, closing."""

import asyncio

import pytest

from penstock.core.errors import ConfigError, LoadFailed, NotReady
from penstock.core.ids import ServableId
from penstock.core.resources import ResourceEstimate
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.core.status import VersionStatus
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import Manager, ManagerOptions
from penstock.lifecycle.transition_policy import resource_preserving
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_loader import FakeLoader, FaultyLoader, PuppetLoader

from .building import MIB, World, model, turn, version

ONCE = LoadOptions(max_attempts=1)


async def test_a_new_version_is_loaded_before_the_old_one_goes() -> None:
    world = World()
    old, new = FakeLoader(), FakeLoader()
    await world.serve(model("m", {1: old}))
    await world.serve(model("m", {2: new}))
    assert world.states() == {2: "ready"}
    assert world.changes() == [
        "1a loading",
        "1a ready",
        "2a loading",
        "2a ready",
        "1a unloading",
        "1a unloaded",
    ]


async def test_resource_preserving_unloads_first() -> None:
    world = World(ManagerOptions(transition_policy=resource_preserving))
    await world.serve(model("m", {1: FakeLoader()}))
    await world.serve(model("m", {1: FakeLoader()}, "b"))
    assert world.changes()[2:] == ["1a unloading", "1a unloaded", "1b loading", "1b ready"]


async def test_a_new_revision_of_a_version_replaces_it_without_a_gap() -> None:
    world = World()
    old, new = FakeLoader(), PuppetLoader()
    await world.serve(model("m", {1: old}, "a"))
    world.manager.set_aspired([model("m", {1: new}, "b")])
    await turn()
    assert world.manager.servable("m") is old.servable
    new.finish_load()
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.manager.servable("m") is new.servable
    assert (old.num_unloads, old.violations) == (1, [])


async def test_a_new_version_that_fails_leaves_the_old_one_serving() -> None:
    world = World(ManagerOptions(load=ONCE))
    await world.serve(model("m", {1: FakeLoader()}))
    await world.serve(model("m", {2: FaultyLoader([LoadFailed("corrupt")])}))
    assert world.ask("m") == 1
    assert world.states() == {1: "ready", 2: "failed"}
    await world.serve(model("m", {3: FakeLoader()}))
    assert world.states() == {3: "ready"}


async def test_what_is_there_stays_whichever_loader_comes_with_it() -> None:
    world = World()
    first, second = FakeLoader(), FakeLoader()
    await world.serve(model("m", {1: first}))
    await world.serve(model("m", {1: second}))
    assert (first.num_loads, first.num_unloads, second.num_loads) == (1, 0, 0)


async def test_a_version_that_came_as_an_error_fails_alone() -> None:
    world = World()
    bad = AspiredVersion(ServableId("m", 2), "a", error=LoadFailed("no artifact"))
    await world.serve(AspiredModel("m", (version("m", 1, FakeLoader()), bad)))
    assert world.states() == {1: "ready", 2: "failed"}
    assert world.manager.failures("m")[0].reason == "no artifact"
    world.manager.retry_failed("m")  # there is nothing to try again
    assert world.manager.failures("m")[0].reason == "no artifact"
    await world.serve(model("m", {1: FakeLoader(), 2: FakeLoader()}))
    assert world.states() == {1: "ready", 2: "ready"}


async def test_a_read_error_of_what_is_loaded_unloads_nothing() -> None:
    world = World()
    loader = FakeLoader()
    await world.serve(model("m", {1: loader}))
    bad = AspiredVersion(ServableId("m", 1), "a", error=LoadFailed("unreadable"))
    await world.serve(AspiredModel("m", (bad,)))
    assert world.states() == {1: "ready"}
    assert loader.num_unloads == 0


async def test_a_failed_version_is_tried_again_only_when_asked_for() -> None:
    world = World(ManagerOptions(load=ONCE))
    loader = FaultyLoader([LoadFailed("no")])
    await world.serve(model("m", {1: loader}))
    await world.serve(model("m", {1: loader}))
    assert loader.num_loads == 1
    world.manager.retry_failed("m")
    world.manager.retry_failed("nobody")
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.states() == {1: "ready"}
    assert loader.num_loads == 2


async def test_wanted_no_more_during_a_load_it_is_unloaded_after_it() -> None:
    world = World()
    loader = PuppetLoader()
    world.manager.set_aspired([model("m", {1: loader})])
    await turn()
    world.manager.set_aspired([])
    await turn()
    assert world.states() == {1: "loading"}
    loader.finish_load()
    await turn()
    loader.finish_unload()
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.states() == {}
    assert loader.violations == []


async def test_wanted_again_during_its_load_it_is_loaded_once() -> None:
    world = World()
    loader = PuppetLoader()
    world.manager.set_aspired([model("m", {1: loader})])
    await turn()
    world.manager.set_aspired([])
    world.manager.set_aspired([model("m", {1: FakeLoader()})])
    loader.finish_load()
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.manager.servable("m") is loader.servable
    assert (loader.num_loads, loader.num_unloads) == (1, 0)


async def test_wanted_again_while_it_drains_another_loader_takes_its_place() -> None:
    world = World()
    old, new = FakeLoader(), FakeLoader()
    await world.serve(model("m", {1: old}))
    lease = world.lend("m")
    world.manager.set_aspired([])
    await turn()
    world.manager.set_aspired([model("m", {1: new})])
    await asyncio.wait_for(world.manager.wait_loaded(["m"]), 5)
    assert world.manager.servable("m") is new.servable
    assert old.num_unloads == 0
    lease.release()
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert old.num_unloads == 1


async def test_wanted_again_while_it_drains_the_same_loader_waits() -> None:
    world = World()
    loader = FakeLoader()
    await world.serve(model("m", {1: loader}))
    lease = world.lend("m")
    world.manager.set_aspired([])
    world.manager.set_aspired([model("m", {1: loader})])
    await turn()
    assert (loader.num_loads, loader.num_unloads) == (1, 0)
    assert not world.manager.is_ready()
    lease.release()
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert (loader.num_loads, loader.num_unloads, loader.violations) == (2, 1, [])
    assert world.manager.is_ready()


async def test_while_the_wanted_one_waits_for_its_loader_another_stands_in() -> None:
    """Revision a drains, b serves, and a is wanted again with its own old loader."""
    world = World()
    first, second = FakeLoader(), FakeLoader()
    await world.serve(model("m", {1: first}, "a"))
    lease = world.lend("m")
    world.manager.set_aspired([model("m", {1: second}, "b")])
    await asyncio.wait_for(world.manager.wait_loaded(), 5)
    world.manager.set_aspired([model("m", {1: first}, "a")])
    await turn()
    assert world.manager.servable("m") is second.servable
    lease.release()
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.manager.servable("m") is first.servable
    assert (second.num_unloads, first.violations) == (1, [])


async def test_no_more_loads_at_once_than_allowed() -> None:
    world = World(ManagerOptions(max_concurrent_loads=2))
    loaders = [PuppetLoader() for _ in range(4)]
    world.manager.set_aspired([model(f"m{i}", {1: one}) for i, one in enumerate(loaders)])
    await turn()
    assert [one.loading.is_set() for one in loaders] == [True, True, False, False]
    loaders[1].finish_load()
    await turn()
    assert [one.loading.is_set() for one in loaders] == [True, False, True, False]
    for one in (0, 2):
        loaders[one].finish_load()
    await turn()
    loaders[3].finish_load()
    await asyncio.wait_for(world.manager.wait_settled(), 5)


async def test_what_does_not_fit_fails_with_both_numbers() -> None:
    world = World(free_bytes=400 * MIB + 5)
    await world.serve(model("m", {1: FakeLoader(ram_bytes=900 * MIB - 5)}))
    (row,) = world.manager.failures("m")
    assert row.reason == (
        "'m' version 1 needs 900 MiB of memory, and there is no room now: 400 MiB are free"
    )


async def test_loads_in_flight_have_reserved_what_they_need() -> None:
    world = World(free_bytes=100 * MIB)
    first, second = PuppetLoader(ram_bytes=60 * MIB), FakeLoader(ram_bytes=60 * MIB)
    world.manager.set_aspired([model("a", {1: first}), model("b", {1: second})])
    await turn()
    (row,) = world.manager.failures("b")
    assert row.reason == (
        "'b' version 1 needs 60 MiB of memory, and there is no room now: 40 MiB are free"
    )
    first.fail_load(ConfigError("no"))
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.ask("b") == 1


async def test_what_did_not_fit_is_loaded_when_something_was_unloaded() -> None:
    world = World(free_bytes=50 * MIB)
    big = FakeLoader(ram_bytes=60 * MIB)
    await world.serve(model("a", {1: FakeLoader()}), model("b", {1: big}))
    assert big.num_loads == 0
    world.free_bytes = 100 * MIB
    world.manager.set_aspired([model("b", {1: big})])
    await asyncio.wait_for(world.manager.wait_settled(), 5)
    assert world.states("b") == {1: "ready"}


async def test_an_estimate_that_raises_fails_that_version() -> None:
    world = World()
    await world.serve(model("m", {1: FaultyLoader(estimate_error=ConfigError("no runtime 'x'"))}))
    assert world.manager.failures("m")[0].reason == "no runtime 'x'"


async def test_ready_means_a_source_has_spoken_and_all_it_wants_is_there() -> None:
    world = World()
    assert not world.manager.is_ready()
    await world.serve()
    assert world.manager.is_ready()
    loader = PuppetLoader()
    world.manager.set_aspired([model("m", {1: loader})])
    assert not world.manager.is_ready()
    await turn()
    loader.finish_load()
    await asyncio.wait_for(world.manager.wait_settled(["m"]), 5)
    assert world.manager.is_ready()
    world.manager.set_aspired([])
    assert world.manager.is_ready()
    await turn()
    loader.finish_unload()
    await asyncio.wait_for(world.manager.wait_settled(), 5)


def test_without_a_loop_it_only_takes_note() -> None:
    manager = Manager(
        options=ManagerOptions(), clock=FakeClock(), available=lambda: ResourceEstimate(0)
    )
    manager.set_aspired([model("m", {1: FakeLoader()})])
    assert [row.state.value for row in manager.statuses()] == ["new"]
    assert not manager.is_ready()
    asyncio.run(manager.wait_settled())
    assert manager.is_ready()


async def test_an_observer_may_change_what_should_be() -> None:
    """It wants the old version back at the very moment its replacement is ready."""
    world = World()
    old, new = FakeLoader(), FakeLoader()

    def meddle(row: VersionStatus) -> None:
        if row.id.version == 2 and row.state.value == "ready":
            manager.set_aspired([model("m", {1: old, 2: new})])

    manager = Manager(
        options=ManagerOptions(),
        clock=world.clock,
        available=lambda: ResourceEstimate(0),
        on_change=meddle,
    )
    manager.set_aspired([model("m", {1: old})])
    await asyncio.wait_for(manager.wait_settled(), 5)
    manager.set_aspired([model("m", {2: new})])
    await asyncio.wait_for(manager.wait_settled(), 5)
    assert manager.ready_versions("m") == [1, 2]
    assert old.num_unloads == 0


async def test_an_observer_sees_what_it_is_told() -> None:
    """Told READY it can borrow; told UNLOADING it cannot any more."""
    world = World()
    seen: list[tuple[str, list[int]]] = []

    def look(row: VersionStatus) -> None:
        seen.append((row.state.value, manager.ready_versions("m")))

    manager = Manager(
        options=ManagerOptions(),
        clock=world.clock,
        available=lambda: ResourceEstimate(0),
        on_change=look,
    )
    for models in ([model("m", {1: FakeLoader()})], []):
        manager.set_aspired(models)
        await asyncio.wait_for(manager.wait_settled(), 5)
    assert seen == [("loading", []), ("ready", [1]), ("unloading", []), ("unloaded", [])]


async def test_closing_waits_for_leases_then_unloads_everything() -> None:
    world = World()
    loaders = [FakeLoader(), FakeLoader()]
    await world.serve(model("a", {1: loaders[0]}), model("b", {1: loaders[1]}))
    lease = world.lend("a")
    closing = asyncio.create_task(world.manager.aclose(30))
    await turn()
    assert [one.num_unloads for one in loaders] == [0, 1]
    assert not world.manager.is_ready()
    with pytest.raises(NotReady, match=r"^the server is shutting down$"):
        world.manager.handle("a")
    world.manager.set_aspired([model("c", {1: FakeLoader()})])
    lease.release()
    await asyncio.wait_for(closing, 5)
    assert [one.num_unloads for one in loaders] == [1, 1]
    assert world.manager.statuses() == []


async def test_closing_waits_for_leases_no_longer_than_told() -> None:
    world = World()
    loader = FakeLoader()
    await world.serve(model("m", {1: loader}))
    with world.lend("m"):
        await asyncio.wait_for(world.manager.aclose(0), 5)
        assert loader.num_unloads == 1


async def test_closing_cancels_what_hangs() -> None:
    world = World(ManagerOptions(close_grace_s=0))
    loader = PuppetLoader()
    world.manager.set_aspired([model("m", {1: loader})])
    await turn()
    await asyncio.wait_for(world.manager.aclose(0), 5)
    assert not loader.loading.is_set()
    assert loader.num_unloads == 0
    await world.manager.aclose(0)


async def test_closing_ends_a_wait_between_attempts_at_once() -> None:
    world = World()
    world.manager.set_aspired([model("m", {1: FaultyLoader([LoadFailed("no", retryable=True)])})])
    await asyncio.wait_for(world.clock.wait_for_sleepers(), 5)
    await asyncio.wait_for(world.manager.aclose(30), 5)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="max_concurrent_loads: expected at least 1, got 0"):
        ManagerOptions(max_concurrent_loads=0)
