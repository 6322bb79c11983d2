"""A load that is called off, at each stage, leaves nothing in a program that goes on."""

from __future__ import annotations

import asyncio
import textwrap
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import penstock
from penstock.app.copies import process_copies
from penstock.core.clock import SystemClock
from penstock.core.errors import Cancelled, LoadFailed
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.runtime.process.shared_memory import SharedMemoryBudget
from penstock.runtime.process.worker_host import WorkerHost
from penstock.runtime.process.worker_keeper import LocalSupply
from tests.fault.actor import is_alive, until, workers
from tests.interop.live import AT_ONCE, Live, eventually
from tests.unit.runtime.process.test_worker_options import artifact

pytestmark = pytest.mark.fault

SLOW = """
import time
from pathlib import Path

import penstock


def wait(folder, stage):
    (folder / f"{stage}-begun").touch()
    while (folder / stage).exists():
        time.sleep(0.005)


wait(Path(__file__).parent, "import")


class Slow(penstock.Model):
    def load(self, context):
        self.folder = context.path
        wait(self.folder, "load")
        with (self.folder / "loaded").open("a") as file:
            file.write("x")

    def predict(self, x: list[int]) -> list[int]:
        wait(self.folder, "warm-up")
        return x

    def close(self):
        with (self.folder / "closed").open("a") as file:
            file.write("x")
"""
STAGES = ["import", "load", "warm-up"]


def put(root: Path, kind: str, stage: str) -> Path:
    """A repository with a model that hangs at a stage as long as the file of its name is there."""
    folder = root / "slow" / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(textwrap.dedent(SLOW))
    (folder / stage).touch()
    (folder.parent / "model.yaml").write_text(f"instances: {{kind: {kind}, count: 2}}\n")
    return folder


async def call_off(root: Path, folder: Path, stage: str) -> None:
    """Open the models of a repository, and give up once a load has come to a stage."""

    async def use() -> None:
        settings = {"model_control": "none", "drain_timeout_s": 0, "lifecycle.load_attempts": 1}
        async with penstock.serving(root, settings=settings):
            pytest.fail("it should not have come up")

    opening = asyncio.create_task(use())
    await until((folder / f"{stage}-begun").exists)
    opening.cancel()
    with pytest.raises((asyncio.CancelledError, LoadFailed)):
        await opening


@pytest.mark.parametrize("stage", STAGES)
async def test_no_worker_outlives_the_app(tmp_path: Path, stage: str) -> None:
    folder = put(tmp_path, "process", stage)
    before = asyncio.all_tasks()
    await call_off(tmp_path, folder, stage)
    assert workers() == []
    await until(lambda: asyncio.all_tasks() == before)
    await until(lambda: "penstock-load-slow" not in {one.name for one in threading.enumerate()})


@pytest.mark.parametrize("stage", STAGES)
async def test_what_a_thread_loads_for_nobody_is_closed_at_once(tmp_path: Path, stage: str) -> None:
    folder = put(tmp_path, "thread", stage)
    await call_off(tmp_path, folder, stage)
    assert not (folder / "closed").exists()
    num_loaded = len((folder / "loaded").read_text()) if (folder / "loaded").exists() else 0
    (folder / stage).unlink()
    wanted = 2 if stage == "warm-up" else 1
    await until(lambda: (folder / "closed").exists() and closed(folder) == wanted)
    assert len((folder / "loaded").read_text()) == wanted, "no further copy was begun"
    assert num_loaded <= wanted


async def test_workers_that_load_for_nobody_are_ended_in_a_server_that_goes_on(
    tmp_path: Path,
) -> None:
    folder = put(tmp_path, "process", "load")
    unused: Any = None
    loop = asyncio.get_running_loop()
    host = WorkerHost(unused, SharedMemoryBudget(0), LocalSupply(ReaperProcess()))
    is_off = threading.Event()
    wanted = artifact(folder, count=2)
    loading = asyncio.create_task(
        asyncio.to_thread(process_copies, wanted, host, loop, SystemClock(), is_off)
    )
    await until((folder / "load-begun").exists)
    is_off.set()
    with pytest.raises(Cancelled, match="its load was called off"):
        await loading
    await until(lambda: workers() == [])
    await host.close()


def closed(folder: Path) -> int:
    return len((folder / "closed").read_text())


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_a_server_that_is_stopped_while_it_loads_leaves_no_process(
    tmp_path: Path, kind: str
) -> None:
    folder = put(tmp_path / "models", kind, "load")
    live = Live([tmp_path / "models"], *AT_ONCE, "--set", "drain_timeout_s=0", folder=tmp_path)
    try:
        eventually((folder / "load-begun").exists)
        children = psutil.Process(live.process.pid).children(recursive=True)
    finally:
        live.stop()
    assert live.process.returncode == 0
    eventually(lambda: not any(child.is_running() and is_alive(child) for child in children))
    assert bool(children) == (kind == "process")
