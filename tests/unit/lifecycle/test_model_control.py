"""Who says what serves: the repository, or an operator."""

import asyncio
from collections.abc import Sequence

import pytest

from penstock.core.errors import (
    ConfigError,
    FailedPrecondition,
    InvalidArgument,
    LoadFailed,
    PenstockError,
)
from penstock.core.loader import Loader
from penstock.core.status import VersionState
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import ManagerOptions
from penstock.lifecycle.source_adapter import ControlMode, ModelControl
from penstock.lifecycle.transition_policy import resource_preserving
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.manifest import Instances, Manifest, VersionPolicyFields
from penstock.testing.fake_loader import FakeLoader, FaultyLoader, PuppetLoader

from .building import World, stored, turn


class Plant:
    """A ModelControl over a Manager, with loaders made on order."""

    def __init__(
        self,
        mode: ControlMode = "explicit",
        initial: Sequence[str] = (),
        options: ManagerOptions | None = None,
    ) -> None:
        self.world = World(options or ManagerOptions(load=LoadOptions(max_attempts=1)))
        self.manager = self.world.manager
        self.made: list[ArtifactRef] = []
        self.next_loaders: list[Loader | PenstockError] = []
        self.control = ModelControl(self.manager, self._make, mode, initial=initial)

    def _make(self, artifact: ArtifactRef) -> Loader:
        self.made.append(artifact)
        loader = self.next_loaders.pop(0) if self.next_loaders else FakeLoader()
        if isinstance(loader, PenstockError):
            raise loader
        return loader

    async def store(self, *models: StoredModel) -> None:
        self.control.set_aspired(models)
        await asyncio.wait_for(self.manager.wait_settled(), 5)

    async def load(self, name: str, manifest: Manifest | None = None) -> None:
        override = None if manifest is None else lambda stored: manifest
        await asyncio.wait_for(self.control.load(name, override), 5)

    async def fail_to_load(self, name: str, manifest: Manifest | None = None) -> str:
        with pytest.raises(LoadFailed) as caught:
            await self.load(name, manifest)
        return caught.value.message

    def rows(self) -> list[tuple[str, int | None, str, str]]:
        return [
            (row.name, row.version, row.state.value, row.reason) for row in self.control.index()
        ]


@pytest.mark.parametrize("mode", ["watch", "none"])
async def test_everything_stored_serves_as_its_policy_says(mode: ControlMode) -> None:
    plant = Plant(mode)
    await plant.store(stored("a", 1, 2, labels={"best": 2}), stored("b", 1, 2, 3, latest=2))
    assert plant.manager.ready_versions("a") == [2]
    assert plant.manager.ready_versions("b") == [2, 3]
    assert plant.world.ask("a", label="best") == 2
    await plant.store(stored("b", 3))
    assert plant.rows() == [("b", 3, "ready", "")]


async def test_a_bad_version_fails_and_the_old_one_serves_on() -> None:
    plant = Plant("watch")
    await plant.store(stored("m", 1))
    await plant.store(stored("m", 1, bad={2: LoadFailed("'m' version 2: no artifact")}))
    assert plant.world.ask("m") == 1
    assert plant.rows() == [
        ("m", 1, "ready", ""),
        ("m", 2, "failed", "'m' version 2: no artifact"),
    ]


async def test_a_loader_that_cannot_be_made_is_that_versions_error() -> None:
    plant = Plant("watch")
    plant.next_loaders = [ConfigError("runtime 'x' is not known")]
    await plant.store(stored("m", 1), stored("n", 1))
    assert plant.rows() == [("m", 1, "failed", "runtime 'x' is not known"), ("n", 1, "ready", "")]


async def test_a_model_with_an_error_serves_its_last_good_state() -> None:
    plant = Plant("watch")
    await plant.store(stored("m", 1))
    await plant.store(stored("m", 1, error=ConfigError("model.yaml: no")))
    assert plant.world.ask("m") == 1
    assert plant.manager.is_ready()


async def test_a_model_with_an_error_and_no_version_is_seen_to_fail() -> None:
    plant = Plant("watch")
    await plant.store(stored("m", error=ConfigError("model.yaml: no")))
    assert not plant.manager.is_ready()
    assert plant.rows() == [("m", None, "failed", "model.yaml: no")]


async def test_a_bad_version_policy_names_its_field_and_unloads_nothing() -> None:
    plant = Plant("watch")
    await plant.store(stored("m", 1))
    await plant.store(stored("m", 1, latest=0))
    assert plant.world.ask("m") == 1
    assert [row.reason for row in plant.manager.failures("m")] == [
        "version_policy.latest: expected at least 1, got 0"
    ]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("watch", "explicit model load / unload is not allowed if polling is enabled"),
        ("none", "explicit model load / unload is not allowed if model control is off"),
    ],
)
async def test_only_the_explicit_mode_takes_orders(mode: ControlMode, text: str) -> None:
    plant = Plant(mode)
    for order in (plant.control.load, plant.control.unload):
        with pytest.raises(FailedPrecondition) as caught:
            await order("m")
        assert caught.value.message == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "Model name cannot be empty"),
        ("../m", "model name must not contain path traversal characters"),
        ("a/b", "model name must not contain path traversal characters"),
        ("a\\b", "model name must not contain path traversal characters"),
        ("..", "model name must not contain path traversal characters"),
    ],
)
async def test_names_that_no_model_can_have(name: str, text: str) -> None:
    plant = Plant()
    for order in (plant.control.load, plant.control.unload):
        with pytest.raises(InvalidArgument) as caught:
            await order(name)
        assert caught.value.message == text


async def test_nothing_serves_until_it_is_asked_for() -> None:
    plant = Plant()
    await plant.store(stored("m", 1, 2))
    assert plant.rows() == [("m", 1, "new", ""), ("m", 2, "new", "")]
    assert plant.manager.is_ready()
    await plant.load("m")
    assert plant.world.ask("m") == 2
    assert plant.rows() == [("m", 1, "new", ""), ("m", 2, "ready", "")]


async def test_unload_waits_until_it_is_gone() -> None:
    plant = Plant()
    loader = FakeLoader()
    plant.next_loaders = [loader]
    await plant.store(stored("m", 1))
    await plant.load("m")
    lease = plant.world.lend("m")
    unloading = asyncio.create_task(plant.control.unload("m"))
    await turn()
    assert not unloading.done()
    lease.release()
    await asyncio.wait_for(unloading, 5)
    assert loader.num_unloads == 1
    assert plant.rows() == [("m", 1, "unloaded", "unloaded")]
    await plant.load("m")
    assert plant.rows() == [("m", 1, "ready", "")]


async def test_unloading_what_is_not_loaded_succeeds() -> None:
    plant = Plant()
    await plant.store(stored("m", 1))
    await plant.control.unload("m")
    await plant.control.unload("nobody")
    assert plant.rows() == [("m", 1, "new", "")]


async def test_what_cannot_be_loaded_says_why() -> None:
    plant = Plant()
    broken = ConfigError("model.yaml: $.runtime: unknown")
    await plant.store(stored("empty"), stored("broken", error=broken), stored("m", 1))
    assert await plant.fail_to_load("X") == (
        "failed to load 'X', failed to poll from model repository"
    )
    assert await plant.fail_to_load("empty") == "failed to load 'empty', no version is available"
    assert await plant.fail_to_load("broken") == (
        "failed to load 'broken', model.yaml: $.runtime: unknown"
    )
    plant.next_loaders = [FaultyLoader([LoadFailed("the file is corrupt")])]
    assert await plant.fail_to_load("m") == "failed to load 'm', version 1: the file is corrupt"
    assert plant.rows() == [
        ("broken", None, "new", "model.yaml: $.runtime: unknown"),
        ("empty", None, "new", "no version is available"),
        ("m", 1, "failed", "the file is corrupt"),
    ]
    assert plant.manager.is_ready()
    await plant.load("m")
    assert plant.rows()[-1] == ("m", 1, "ready", "")


async def test_loading_again_picks_up_what_changed() -> None:
    plant = Plant()
    old, new = FakeLoader(), FakeLoader()
    plant.next_loaders = [old, new]
    await plant.store(stored("m", 1, revision="a"))
    await plant.load("m")
    await plant.store(stored("m", 1, revision="b"))
    assert plant.manager.servable("m") is old.servable
    await plant.load("m")
    assert plant.manager.servable("m") is new.servable
    await plant.load("m")
    assert plant.manager.servable("m") is new.servable
    assert new.num_loads == 1


async def test_a_load_that_fails_changes_nothing() -> None:
    plant = Plant()
    old = FakeLoader()
    plant.next_loaders = [old, FakeLoader(), FaultyLoader([LoadFailed("no good")])]
    await plant.store(stored("m", 1))
    await plant.load("m")
    await plant.store(stored("m", 1, 2, 3, latest=2))
    assert await plant.fail_to_load("m") == "failed to load 'm', version 3: no good"
    await asyncio.wait_for(plant.manager.wait_settled(), 5)
    assert plant.manager.ready_versions("m") == [1]
    assert plant.manager.is_ready()
    assert plant.world.ask("m") == 1


async def test_a_reload_that_fails_keeps_the_old_revision() -> None:
    plant = Plant()
    old = FakeLoader()
    plant.next_loaders = [old, FaultyLoader([LoadFailed("no good")])]
    await plant.store(stored("m", 1, revision="a"))
    await plant.load("m")
    await plant.store(stored("m", 1, revision="b"))
    assert await plant.fail_to_load("m") == "failed to load 'm', version 1: no good"
    assert plant.manager.servable("m") is old.servable
    assert old.num_unloads == 0


async def test_where_resources_are_dear_the_old_revision_comes_back() -> None:
    plant = Plant(
        options=ManagerOptions(
            load=LoadOptions(max_attempts=1), transition_policy=resource_preserving
        )
    )
    old = FakeLoader()
    plant.next_loaders = [old, FaultyLoader([LoadFailed("no good")])]
    await plant.store(stored("m", 1, revision="a"))
    await plant.load("m")
    await plant.store(stored("m", 1, revision="b"))
    await plant.fail_to_load("m")
    await asyncio.wait_for(plant.manager.wait_settled(), 5)
    assert plant.manager.servable("m") is old.servable
    assert (old.num_loads, old.num_unloads, old.violations) == (2, 1, [])


async def test_loads_of_one_model_run_one_after_the_other() -> None:
    plant = Plant()
    puppet = PuppetLoader()
    plant.next_loaders = [puppet]
    await plant.store(stored("m", 1), stored("n", 1))
    first = asyncio.create_task(plant.control.load("m"))
    second = asyncio.create_task(plant.control.load("m"))
    last = asyncio.create_task(plant.control.unload("m"))
    await plant.load("n")
    assert [ref.id.name for ref in plant.made] == ["m", "n"]
    puppet.finish_load()
    await asyncio.wait_for(asyncio.gather(first, second), 5)
    await turn()
    puppet.finish_unload()
    await asyncio.wait_for(last, 5)
    assert (puppet.num_loads, puppet.num_unloads, puppet.violations) == (1, 1, [])
    assert not plant.control._locks


async def test_a_manifest_may_be_overridden_for_one_load() -> None:
    plant = Plant()
    await plant.store(stored("m", 1, 2))
    manifest = Manifest(
        version_policy=VersionPolicyFields(specific=(1,)),
        instances=Instances(count=3),
        labels={"one": 1},
    )
    await plant.load("m", manifest)
    assert plant.made[-1].manifest is manifest
    assert plant.made[-1].revision.startswith("a+")
    assert plant.world.ask("m", label="one") == 1
    await plant.load("m")
    assert plant.manager.ready_versions("m") == [2]
    assert await plant.fail_to_load("m", Manifest(entry="../../etc/passwd")) == (
        "failed to load 'm', 'm' version 1: 'entry' cannot be overridden: "
        "expected None or nothing, got '../../etc/passwd'"
    )
    assert await plant.fail_to_load("m", Manifest(runtime="python")) == (
        "failed to load 'm', 'm' version 1: 'runtime' cannot be overridden: "
        "expected 'onnx' or nothing, got 'python'"
    )
    await plant.load("m", Manifest(runtime="onnx"))


async def test_a_failed_load_is_tried_afresh() -> None:
    plant = Plant(initial=["m"])
    loader = FaultyLoader([LoadFailed("no")])
    plant.next_loaders = [loader]
    await plant.store(stored("m", 1))
    assert plant.rows() == [("m", 1, "failed", "no")]
    await plant.load("m")
    assert plant.rows() == [("m", 1, "ready", "")]


async def test_names_to_load_at_the_start() -> None:
    plant = Plant(initial=["a", "lost"])
    await plant.store(stored("a", 1), stored("b", 1))
    assert plant.rows() == [("a", 1, "ready", ""), ("b", 1, "new", "")]
    plant.control.end_initial()
    await turn()
    assert plant.rows() == [
        ("a", 1, "ready", ""),
        ("b", 1, "new", ""),
        ("lost", 0, "failed", "failed to load 'lost', failed to poll from model repository"),
    ]
    assert not plant.manager.is_ready()
    await plant.control.unload("lost")
    await plant.store(stored("b", 1))
    assert plant.rows() == [("a", 1, "ready", ""), ("b", 1, "new", "")]
    assert plant.manager.is_ready()


async def test_it_looks_at_what_is_stored_before_each_load() -> None:
    plant = Plant()

    async def scan() -> Sequence[StoredModel]:
        return [stored("late", 4)]

    control = ModelControl(plant.manager, lambda artifact: FakeLoader(), "explicit", scan=scan)
    await asyncio.wait_for(control.load("late"), 5)
    assert plant.manager.ready_versions("late") == [4]
    assert [row.state for row in control.index()] == [VersionState.READY]


async def test_closing_ends_a_load_that_waits() -> None:
    plant = Plant(options=ManagerOptions(close_grace_s=0))
    plant.next_loaders = [PuppetLoader()]
    await plant.store(stored("m", 1))
    loading = asyncio.create_task(plant.control.load("m"))
    await turn()
    await plant.manager.aclose(0)
    with pytest.raises(LoadFailed) as caught:
        await asyncio.wait_for(loading, 5)
    assert caught.value.message == "failed to load 'm', version 1: it was unloaded meanwhile"


async def test_a_star_loads_everything_at_the_start_also_what_settles_late() -> None:
    plant = Plant(initial=["*"])
    await plant.store(stored("a", 1))
    await plant.store(stored("a", 1), stored("b", 1))
    plant.control.end_initial()
    await turn()
    assert plant.rows() == [("a", 1, "ready", ""), ("b", 1, "ready", "")]


async def test_a_manifest_that_breaks_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    plant = Plant(mode="watch")
    broken = StoredModel("m", Manifest(), (), ConfigError("m/model.yaml: $.x: unknown field"))
    await plant.store(broken)
    await plant.store(broken)
    assert [r.message for r in caplog.records] == ["model 'm': m/model.yaml: $.x: unknown field"]
    (status,) = plant.manager.statuses()
    assert (status.subject, status.says()) == (
        "model 'm'",
        "model 'm': m/model.yaml: $.x: unknown field",
    )
    assert plant.rows() == [("m", None, "failed", "m/model.yaml: $.x: unknown field")]


async def test_a_manifest_that_is_wrong_at_the_start_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plant = Plant(initial=["m", "lost"])
    await plant.store(stored("m", error=ConfigError("m/model.yaml: $.x: unknown field")))
    plant.control.end_initial()
    await turn()
    assert [r.message for r in caplog.records] == [
        "model 'm': m/model.yaml: $.x: unknown field",
        "failed to load 'lost', failed to poll from model repository",
    ]


async def test_another_mistake_of_a_model_without_versions_takes_the_place_of_the_first() -> None:
    plant = Plant(mode="watch")
    for text in ("first", "second"):
        await plant.store(stored("m", error=ConfigError(text)))
    assert plant.rows() == [("m", None, "failed", "second")]


async def test_each_mistake_of_a_model_is_logged_once_and_its_end_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plant = Plant("watch")
    caplog.set_level("INFO", "penstock.lifecycle")
    for error in (None, "first", "first", "second", None):
        wrong = None if error is None else ConfigError(f"model.yaml: {error}")
        await plant.store(stored("m", 1, error=wrong))
        reason = f"serves its last good state: model.yaml: {error}" if error else ""
        assert plant.rows() == [("m", 1, "ready", reason)]
    assert [one.getMessage() for one in caplog.records if "model.yaml" in one.getMessage()] == [
        "model 'm': model.yaml: first",
        "model 'm': model.yaml: second",
        "model 'm': it is mended: model.yaml: second",
    ]
