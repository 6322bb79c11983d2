"""A start that goes on where another one ended, and overrides made of what is stored."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.lifecycle.source_adapter import ModelControl, Override
from penstock.repository.artifact import StoredModel
from penstock.repository.manifest import Manifest, VersionPolicyFields

from .building import stored
from .test_model_control import Plant


def with_label(name: str, version: int) -> Override:
    return lambda stored: msgspec.structs.replace(stored, labels={name: version})


async def test_an_override_is_made_of_what_is_stored_now() -> None:
    """Also of a model that was not there when somebody last looked."""
    plant = Plant()
    seen: list[Manifest] = []

    async def scan() -> Sequence[StoredModel]:
        return [stored("late", 1, labels={"old": 1}, latest=3)]

    def note(manifest: Manifest) -> Manifest:
        seen.append(manifest)
        return msgspec.structs.replace(manifest, labels={"new": 1})

    control = ModelControl(plant.manager, plant._make, "explicit", scan=scan)
    await asyncio.wait_for(control.load("late", note), 5)
    assert [(one.labels, one.version_policy) for one in seen] == [
        ({"old": 1}, VersionPolicyFields(latest=3))
    ]
    assert plant.world.ask("late", label="new") == 1


async def test_an_override_that_is_wrong_changes_nothing() -> None:
    plant = Plant()
    await plant.store(stored("m", 1))
    await plant.load("m")

    def refuse(manifest: Manifest) -> Manifest:
        raise ConfigError("config: no such field")

    with pytest.raises(ConfigError, match="no such field"):
        await plant.control.load("m", refuse)
    assert plant.world.ask("m") == 1


@pytest.mark.parametrize("initial", [["a", "b"], ["*"]])
async def test_a_start_goes_on_where_another_one_ended(initial: list[str]) -> None:
    plant = Plant(initial=initial)
    plant.control.resume({"c": with_label("best", 1)}, ["b"])
    await plant.store(stored("a", 1), stored("b", 1), stored("c", 1))
    plant.control.end_initial()
    assert {name: plant.manager.ready_versions(name) for name in "abc"} == {
        "a": [1],
        "b": [],
        "c": [1],
    }
    assert plant.world.ask("c", label="best") == 1
    assert plant.control.failure("c") is None
    await plant.load("b")
    assert plant.manager.ready_versions("b") == [1]


async def test_what_cannot_be_resumed_is_that_models_error() -> None:
    plant = Plant()

    def refuse(manifest: Manifest) -> Manifest:
        raise ConfigError("config: no such field")

    plant.control.resume({"a": refuse, "gone": None, "c": None})
    await plant.store(stored("a", 1), stored("c", 1))
    plant.control.end_initial()
    await plant.manager.wait_loaded()
    failures = {name: plant.control.failure(name) for name in ("a", "gone", "c")}
    assert "no such field" in str(failures["a"])
    assert "failed to poll" in str(failures["gone"])
    assert failures["c"] is None
    assert not plant.manager.is_ready()


async def test_an_unload_during_the_start_holds() -> None:
    plant = Plant(initial=["*"])
    await plant.store(stored("a", 1))
    await plant.control.unload("a")
    await plant.store(stored("a", 1))
    assert plant.manager.ready_versions("a") == []
