"""What the repository and an operator say of models that are loaded on demand."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from penstock.core.errors import LoadFailed, NotFound
from penstock.core.loader import Loader
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import ManagerOptions
from penstock.lifecycle.source_adapter import ControlMode, ModelControl
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.manifest import Manifest
from penstock.testing.fake_loader import FakeLoader, FaultyLoader

from .building import MIB, World, stored

COLD = "not loaded yet; loads on demand"


class Plant:
    """A ModelControl of a server that loads on demand, with room for one model."""

    def __init__(self, mode: ControlMode) -> None:
        once = LoadOptions(max_attempts=1)
        self.manager = World(ManagerOptions(load=once, memory_budget_bytes=10 * MIB)).manager
        self.loaders: dict[str, Loader] = {}
        self.control = ModelControl(self.manager, self._make, mode, on_demand=True)

    def _make(self, artifact: ArtifactRef) -> Loader:
        return self.loaders.get(artifact.id.name) or FakeLoader(ram_bytes=10 * MIB)

    async def store(self, *models: StoredModel) -> None:
        self.control.set_aspired(models)
        await asyncio.wait_for(self.manager.wait_settled(), 5)

    def rows(self) -> list[tuple[str, str, str]]:
        return [(row.name, row.state.value, row.reason) for row in self.control.index()]


def kept(name: str) -> StoredModel:
    return msgspec.structs.replace(stored(name, 1), manifest=Manifest(keep_loaded=True))


async def test_what_is_stored_is_cold_unless_it_is_kept_loaded() -> None:
    plant = Plant("watch")
    await plant.store(stored("a", 1), kept("k"))
    assert plant.rows() == [("a", "new", COLD), ("k", "ready", "")]
    await plant.store(kept("a"), stored("k", 1))
    assert plant.rows() == [("a", "ready", ""), ("k", "new", COLD)]


async def test_a_file_that_is_wrong_is_told_without_a_load() -> None:
    plant = Plant("watch")
    await plant.store(stored("a", 1, bad={2: LoadFailed("truncated")}, latest=2))
    assert plant.rows() == [("a", "new", COLD), ("a", "failed", "truncated")]
    assert plant.manager.is_ready()


async def test_load_by_hand_brings_a_model_and_unload_takes_it_for_good() -> None:
    plant = Plant("explicit")
    await plant.store(stored("a", 1), stored("b", 1))
    assert plant.rows() == [("a", "new", ""), ("b", "new", "")]
    with pytest.raises(NotFound):
        plant.manager.handle("a")
    await asyncio.wait_for(plant.control.load("a"), 5)
    await asyncio.wait_for(plant.control.load("b"), 5)
    assert plant.rows() == [
        ("a", "unloaded", "unloaded to make room; loads on demand"),
        ("b", "ready", ""),
    ]
    await asyncio.wait_for(plant.control.unload("b"), 5)
    assert plant.rows()[1] == ("b", "unloaded", "unloaded")
    assert plant.manager.demand("b") is None


async def test_a_load_by_hand_that_fails_says_why() -> None:
    plant = Plant("explicit")
    plant.loaders["a"] = FaultyLoader([LoadFailed("no good")])
    await plant.store(stored("a", 1))
    with pytest.raises(LoadFailed, match="failed to load 'a', version 1: no good"):
        await asyncio.wait_for(plant.control.load("a"), 5)
