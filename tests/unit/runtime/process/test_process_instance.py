"""A copy whose worker is a puppet: what it does by itself, and what it leaves to its source."""

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import pytest

from penstock.core.signature import ModelSignature
from penstock.runtime.instance import Work
from penstock.runtime.process import process_instance
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import Loaded
from penstock.runtime.process.process_instance import ProcessInstance
from penstock.runtime.process.shared_memory import SharedMemoryBudget
from penstock.runtime.process.worker_host import WorkerHost
from penstock.runtime.process.worker_source import WorkerOwner
from tests.unit.runtime.process.test_worker_options import artifact

LOADED = Loaded(ModelSignature((), ()), "test")


class PuppetChannel:
    def send(self, *message: object) -> None:
        pass


class PuppetSource:
    """A ``WorkerSource`` that is its own supply."""

    is_elsewhere = False
    start_timeout_s = 100.0

    def __init__(self, *, ends_hangs: bool = False) -> None:
        self.ends_hangs = ends_hangs
        self.pid = os.getpid()
        self.killed = asyncio.Event()

    def source(self, _: object, index: int, owner: WorkerOwner) -> Any:
        del index
        self.owner = owner
        return self

    async def start(self) -> Loaded:
        self.owner.connected(cast(FromWorker, PuppetChannel()))
        return LOADED

    def kill(self, why: str) -> None:
        assert "did not answer" in why
        self.killed.set()

    def has_begun(self, batch: int) -> bool:
        return batch > 0

    async def close(self, *_: object) -> None:
        self.owner.ended("the play is over")


def instance(folder: Path, source: PuppetSource, num_sharing: int = 1) -> ProcessInstance:
    host = WorkerHost(cast(Any, None), SharedMemoryBudget(0), cast(Any, source), num_sharing)
    return ProcessInstance(artifact(folder, kill_after_s=0.02), 0, host)


@pytest.mark.parametrize("ends_hangs", [False, True])
async def test_a_hang_is_its_own_matter_unless_the_source_ends_it(
    tmp_path: Path, ends_hangs: bool
) -> None:
    source = PuppetSource(ends_hangs=ends_hangs)
    copy = instance(tmp_path, source)
    await copy.start()
    copy.submit(Work((), {}, deadline_ns=1), lambda _: None)
    try:
        await asyncio.wait_for(source.killed.wait(), 0.5 if ends_hangs else 5.0)
    except TimeoutError:
        assert ends_hangs
    assert source.killed.is_set() is not ends_hangs
    await copy.end("the play is over")


async def test_a_worker_that_dies_before_its_warm_up_begins_is_no_error(tmp_path: Path) -> None:
    source = PuppetSource()
    copy = instance(tmp_path, source)
    await copy.start()
    copy.revive_with([()])
    source.owner.ended("bad luck")
    source.owner.connected(cast(FromWorker, PuppetChannel()))
    source.owner.up(LOADED)
    source.owner.ended("worse luck")
    assert copy._revival is not None
    await copy._revival
    assert not copy.is_ready
    await copy.end("the play is over")


async def test_of_a_worker_that_others_share_it_holds_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_instance, "resident_bytes", lambda _: 1000)
    assert instance(tmp_path, PuppetSource()).memory_bytes == 1000
    assert instance(tmp_path, PuppetSource(), num_sharing=4).memory_bytes == 250
