"""ModelLoader: on which thread it loads, and what a load that breaks becomes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.app import copies as copies_module
from penstock.app import model_loader as model_loader_module
from penstock.app.model_loader import ModelLoader
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, Manifest
from penstock.telemetry.registry import StatsRegistry
from penstock.testing.faulty_executable import FaultyExecutable


class Panic(BaseException):
    """As pyo3 raises it."""


class FaultyRuntime:
    """Loads copies until its script says otherwise."""

    platform = "faulty"

    def __init__(self, *script: BaseException | None) -> None:
        self.script = list(script)
        self.loaded: list[FaultyExecutable] = []

    def load(self, artifact: ArtifactRef, client: Any) -> FaultyExecutable:
        step = self.script.pop(0) if self.script else None
        if step is not None:
            raise step
        self.loaded.append(FaultyExecutable())
        return self.loaded[-1]


def loader_of(
    runtime: FaultyRuntime, monkeypatch: pytest.MonkeyPatch, *, is_single_file: bool = False
) -> ModelLoader:
    for module in (model_loader_module, copies_module):
        monkeypatch.setattr(module, "find_runtime", lambda name: runtime)
    artifact = ArtifactRef(
        id=ServableId("m", 1),
        root=Path("m/1"),
        path=Path("m/1/model.py"),
        runtime="faulty",
        class_name=None,
        manifest=Manifest(instances=Instances(count=2)),
        revision="a",
        num_bytes=1,
        is_single_file=is_single_file,
    )
    client: Any = None
    return ModelLoader(artifact, client=client, stats=StatsRegistry())


async def test_it_loads_and_unloads(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FaultyRuntime()
    loader = loader_of(runtime, monkeypatch)
    scheduler = await loader.load()
    assert scheduler.info.id == ServableId("m", 1)
    assert len(runtime.loaded) == 2
    await loader.unload()
    assert all(executable.is_closed for executable in runtime.loaded)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError("x"), GeneratorExit("x"), KeyboardInterrupt("x"), Panic("x")]
)
async def test_whatever_a_load_raises_is_its_failure(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    runtime = FaultyRuntime(None, error)
    loader = loader_of(runtime, monkeypatch)
    with pytest.raises(LoadFailed) as caught:
        await loader.load()
    kind = type(error).__name__
    assert caught.value.message == f"'m' version 1: loading the model raised {kind}: x"
    assert caught.value.culprit is error
    assert [executable.is_closed for executable in runtime.loaded] == [True]
    assert await loader.load() is not None


@pytest.mark.parametrize(
    ("is_single_file", "text", "more"),
    [
        (True, "say so in its model.yaml", True),
        (False, "say so in its model.yaml", False),
        (True, "the file is cut off", False),
    ],
)
async def test_a_hint_at_model_yaml_says_how_a_file_that_is_served_alone_gets_one(
    monkeypatch: pytest.MonkeyPatch, *, is_single_file: bool, text: str, more: bool
) -> None:
    culprit = ValueError("x")
    error = LoadFailed(f"'m' version 1: {text}", retryable=True, culprit=culprit)
    loader = loader_of(FaultyRuntime(error), monkeypatch, is_single_file=is_single_file)
    with pytest.raises(LoadFailed) as caught:
        await loader.load()
    told = " ('model.py' is served as a single file, which has no model.yaml: put both in a folder "
    told += "and serve the folder)"
    assert caught.value.message == error.message + (told if more else "")
    assert (caught.value.retryable, caught.value.culprit) == (True, culprit)


async def test_what_the_copies_declare_is_what_the_version_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FaultyExecutable, "memory_bytes", 700, raising=False)
    loader = loader_of(FaultyRuntime(), monkeypatch)
    before = loader.estimate().ram_bytes
    scheduler = await loader.load()
    assert (scheduler.stats.memory_bytes, scheduler.stats.memory_source) == (1400, "declared")
    await loader.unload()
    assert before != loader.estimate().ram_bytes == 1400
