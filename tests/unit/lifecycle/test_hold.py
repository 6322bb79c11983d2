"""Versions that a route holds: they serve beside those that the version policy chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.core.errors import ConfigError, LoadFailed, NotFound, NotReady
from penstock.core.ids import VersionChoice
from penstock.core.loader import Loader
from penstock.core.messages import InferRequest
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import ManagerOptions
from penstock.lifecycle.on_demand import OnDemand, OnDemandOptions
from penstock.lifecycle.source_adapter import ControlMode, ModelControl
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.manifest import Manifest, Queue, VersionPolicyFields
from penstock.testing.fake_loader import FakeLoader, FaultyLoader, PuppetLoader

from .building import World, stored, turn

LIMIT_S = 5
GONE = "'m' version 9: a route wants it, and it is not stored; versions that are: 1, 2, 3"


class Plant:
    """A ModelControl over a Manager; what is stored can be looked at again."""

    def __init__(self, mode: ControlMode, *, on_demand: bool = False) -> None:
        self.world = World(ManagerOptions(load=LoadOptions(max_attempts=1)))
        self.manager = self.world.manager
        self.loaders: dict[int, Loader] = {}
        self.made: list[tuple[str, FakeLoader]] = []
        self.disk: Sequence[StoredModel] = ()
        self.num_scans = 0
        self.control = ModelControl(
            self.manager, self._make, mode, scan=self._scan, on_demand=on_demand
        )

    def _make(self, artifact: ArtifactRef) -> Loader:
        (name, version), fresh = artifact.id, FakeLoader()
        self.made.append((f"{name}-{version}", fresh))
        return self.loaders.get(version, fresh)

    async def _scan(self) -> Sequence[StoredModel]:
        self.num_scans += 1
        return self.disk

    async def store(self, *models: StoredModel) -> None:
        self.disk = models
        self.control.set_aspired(models)
        await self.settle()

    async def load(self, name: str) -> None:
        await asyncio.wait_for(self.control.load(name), LIMIT_S)

    async def hold(self, *versions: int) -> None:
        self.control.hold("m", frozenset(versions))
        await self.settle()

    async def settle(self) -> None:
        await turn()
        await asyncio.wait_for(self.manager.wait_settled(), LIMIT_S)

    def ready(self) -> list[int]:
        return self.manager.ready_versions("m")


async def serving(mode: ControlMode) -> Plant:
    """Three versions are stored, of which the newest serves."""
    plant = Plant(mode)
    await plant.store(stored("m", 1, 2, 3), stored("other", 1))
    if mode == "explicit":
        await plant.load("m")
    assert plant.ready() == [3]
    return plant


MODES: list[ControlMode] = ["watch", "none", "explicit"]


@pytest.mark.parametrize("mode", MODES)
async def test_held_versions_serve_beside_the_chosen_ones_until_they_are_let_go(
    mode: ControlMode,
) -> None:
    plant = await serving(mode)
    await plant.hold(1, 3)
    assert plant.ready() == [1, 3]
    assert plant.world.ask("m") == 3
    await plant.hold(2)
    assert plant.ready() == [2, 3]
    await plant.hold()
    assert plant.ready() == [3]
    loads = [sum(x.num_loads for at, x in plant.made if at == f"m-{n}") for n in (1, 2, 3)]
    assert loads == [1, 1, 1]


@pytest.mark.parametrize("mode", MODES)
async def test_a_new_version_does_not_push_a_held_one_out(mode: ControlMode) -> None:
    """Law 2: while it is held it is aspired."""
    plant = await serving(mode)
    await plant.hold(3)
    plant.disk = [stored("m", 1, 2, 3, 4)]
    if mode == "explicit":
        await plant.load("m")
    else:
        await plant.store(*plant.disk)
    assert plant.ready() == [3, 4]
    await plant.hold()
    assert plant.ready() == [4]


@pytest.mark.parametrize("mode", MODES)
async def test_a_held_version_that_is_not_stored_fails_alone(mode: ControlMode) -> None:
    plant = await serving(mode)
    await plant.hold(1, 9)
    assert plant.ready() == [1, 3]
    assert [row.reason for row in plant.manager.failures("m")] == [GONE]
    assert plant.manager.is_ready()
    assert [row.version for row in plant.control.index() if row.state == "failed"] == [9]
    if mode == "explicit":
        await plant.load("m")
        assert plant.control.failure("m") is None
    await plant.hold(1)
    assert plant.manager.failures("m") == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_held_version_that_cannot_be_loaded_fails_alone(mode: ControlMode) -> None:
    plant = await serving(mode)
    plant.loaders[1] = FaultyLoader([LoadFailed("truncated")] * 9)
    await plant.hold(1, 2)
    assert plant.ready() == [2, 3]
    assert [row.reason for row in plant.manager.failures("m")] == ["truncated"]
    if mode == "explicit":
        await plant.load("m")
        assert plant.ready() == [2, 3]


@pytest.mark.parametrize("mode", ["none", "explicit"])
async def test_a_held_version_that_nobody_looked_for_is_looked_for(mode: ControlMode) -> None:
    plant = await serving(mode)
    before = plant.num_scans
    plant.disk = [stored("m", 1, 2, 3, 4, 5), stored("other", 1, 2)]
    await plant.hold(4)
    assert plant.ready() == [3, 4]
    assert plant.num_scans == before + 1
    assert plant.manager.ready_versions("other") == ([] if mode == "explicit" else [1])
    await plant.hold(4, 5)
    assert (plant.ready(), plant.num_scans) == ([3, 4, 5], before + 1)


async def test_a_hold_of_what_should_not_serve_waits_until_it_should() -> None:
    plant = Plant("explicit")
    await plant.hold(1)
    await plant.store(stored("m", 1, 2, 3))
    assert (plant.ready(), plant.num_scans) == ([], 0)
    await plant.load("m")
    assert plant.ready() == [1, 3]
    await asyncio.wait_for(plant.control.unload("m"), LIMIT_S)
    assert plant.ready() == []
    await plant.load("m")
    assert plant.ready() == [1, 3]


async def test_a_load_by_hand_that_fails_leaves_what_is_held_by_then() -> None:
    plant = await serving("explicit")
    puppet = plant.loaders[4] = PuppetLoader()
    plant.disk = [stored("m", 1, 2, 3, 4)]
    loading = asyncio.create_task(plant.control.load("m"))
    await asyncio.wait_for(puppet.loading.wait(), LIMIT_S)
    plant.control.hold("m", frozenset({1}))
    puppet.fail_load(LoadFailed("no"))
    with pytest.raises(LoadFailed):
        await asyncio.wait_for(loading, LIMIT_S)
    await plant.settle()
    assert plant.ready() == [1, 3]


async def test_a_load_by_hand_needs_more_than_a_held_version_that_is_not_stored() -> None:
    plant = Plant("explicit")
    await plant.store(stored("m"))
    await plant.hold(9)
    with pytest.raises(LoadFailed, match="no version is available"):
        await plant.load("m")


async def test_an_override_holds_for_the_held_versions_that_were_there() -> None:
    plant = await serving("explicit")
    manifest = Manifest(version_policy=VersionPolicyFields(latest=2))
    await asyncio.wait_for(plant.control.load("m", lambda _: manifest), LIMIT_S)
    await plant.hold(1)
    assert plant.ready() == [1, 2, 3]
    await plant.hold()
    assert plant.ready() == [2, 3]


async def test_a_model_whose_files_are_wrong_keeps_what_is_held() -> None:
    plant = await serving("watch")
    await plant.hold(1)
    await plant.store(stored("m", 1, 2, 3, error=ConfigError("model.yaml: no")))
    assert plant.ready() == [1, 3]
    await plant.store(stored("m", error=ConfigError("model.yaml: no")))
    assert plant.ready() == [1, 3]


async def test_a_held_version_whose_files_are_gone_serves_on() -> None:
    plant = await serving("watch")
    await plant.hold(1)
    await plant.store(stored("m", 2, 3))
    assert plant.ready() == [1, 3]
    await plant.hold()
    assert plant.ready() == [3]


async def test_held_versions_of_a_cold_model_come_when_it_is_asked_for() -> None:
    plant = Plant("watch", on_demand=True)
    clock = plant.world.clock
    on_demand = OnDemand(plant.manager, OnDemandOptions(), lambda _: Queue(), clock, clock.sleep)
    await plant.store(stored("m", 1, 2, 3))
    await plant.hold(1, 9)
    assert plant.ready() == []
    with await asyncio.wait_for(on_demand.fetch(wanted(1)), LIMIT_S) as handle:
        assert handle.id.version == 1
    await plant.settle()
    assert plant.ready() == [1, 3]
    with pytest.raises((LoadFailed, NotFound, NotReady)):
        await asyncio.wait_for(on_demand.fetch(wanted(9)), LIMIT_S)


async def test_a_failed_version_keeps_nobody_from_waiting_for_another() -> None:
    plant = Plant("watch", on_demand=True)
    clock = plant.world.clock
    on_demand = OnDemand(plant.manager, OnDemandOptions(), lambda _: Queue(), clock, clock.sleep)
    puppet = plant.loaders[3] = PuppetLoader()
    await plant.store(stored("m", 1, 2, 3))
    await plant.hold(9)
    first = asyncio.create_task(on_demand.fetch(wanted()))
    await asyncio.wait_for(puppet.loading.wait(), LIMIT_S)
    second = asyncio.create_task(on_demand.fetch(wanted()))
    await turn()
    puppet.finish_load()
    for task in (first, second):
        with await asyncio.wait_for(task, LIMIT_S) as handle:
            assert handle.id.version == 3


def wanted(version: int | None = None) -> InferRequest:
    return InferRequest("m", (), VersionChoice(version))
