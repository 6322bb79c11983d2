"""Copies whose stages have threads of their own: when there are any, and how many."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from penstock.app.copies import Copies, thread_copies
from penstock.app.model_loader import ModelLoader
from penstock.core.clock import SystemClock
from penstock.core.errors import LoadFailed
from penstock.repository.manifest import Instances, Stages, StageThreads
from penstock.runtime.instance import ThreadInstance
from penstock.runtime.staged.staged_instance import StagedInstance
from penstock.telemetry.registry import StatsRegistry
from tests.contract.runtime_contract import NoClient, artifact
from tests.unit.runtime.python_models import modules, write

BOTH = """
class Both(Model):
    def preprocess(self, x: list[int]):
        return x
    def predict(self, x) -> list[int]:
        return x
    def load(self, context):
        assert not context.options, "it should not have been loaded"
"""
COUNTS = """
class Counts(Model):
    def load(self, context):
        self.calls = context.options["calls"]
    def preprocess(self, x: list[int]):
        self.calls.append(self)
        return x
    def predict(self, x) -> list[int]:
        return x
"""


async def copies_of(path: Path, runtime: str = "python", **manifest: Any) -> Copies:
    loop = asyncio.get_running_loop()
    return thread_copies(
        artifact(path, runtime, **manifest), NoClient(), loop, SystemClock(), threading.Event()
    )


async def test_so_many_instances_as_threads(tmp_path: Path) -> None:
    stages = Stages(preprocess=StageThreads(count=4))
    instances, others = Instances(count=2), modules()
    copies = await copies_of(write(tmp_path, BOTH), instances=instances, stages=stages)
    assert [type(one) for one in copies.instances] == [StagedInstance] * 6
    assert len(modules() - others) == 2
    copies.close()
    assert modules() == others


async def test_each_copy_is_warmed_up_once_though_more_instances_share_them(
    tmp_path: Path,
) -> None:
    calls: list[object] = []
    others = modules()
    path = write(tmp_path, COUNTS)
    given = artifact(
        path,
        "python",
        instances=Instances(count=2),
        stages=Stages(preprocess=StageThreads(count=4)),
        runtime_options={"calls": calls},
    )
    loader = ModelLoader(given, client=NoClient(), stats=StatsRegistry())
    scheduler = await loader.load()
    assert scheduler.stats.instances == 6
    per_copy = [calls.count(model) for model in set(calls)]
    assert per_copy == [4, 4]
    await loader.unload()
    assert modules() == others


async def test_without_stages_instances_are_as_ever(tmp_path: Path) -> None:
    copies = await copies_of(write(tmp_path, BOTH), instances=Instances(count=2))
    assert [type(one) for one in copies.instances] == [ThreadInstance] * 2
    copies.close()


async def test_a_stage_that_the_class_does_not_have_is_found_before_it_is_loaded(
    tmp_path: Path,
) -> None:
    stages, others = Stages(postprocess=StageThreads()), modules()
    with pytest.raises(LoadFailed) as caught:
        await copies_of(write(tmp_path, BOTH), stages=stages, runtime_options={"load": "never"})
    assert caught.value.message == (
        "'m' version 1: model.yaml: stages.postprocess: class 'Both' in model.py has no such "
        "method; it has preprocess, predict"
    )
    assert modules() == others


async def test_only_python_models_have_stages() -> None:
    stages = Stages(preprocess=StageThreads())
    with pytest.raises(LoadFailed) as caught:
        await copies_of(Path("no/model.onnx"), "onnx", stages=stages)
    assert caught.value.message == (
        "'m' version 1: model.yaml: stages: only Python models have stages, and the runtime is "
        "onnx; leave 'stages' out"
    )
