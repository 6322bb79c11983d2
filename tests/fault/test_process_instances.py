"""Models in processes: every way for a worker to go wrong, and the server that goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import time
import venv
from pathlib import Path

import numpy as np
import psutil
import pytest

import penstock
from penstock.app.embedded import Models
from penstock.core.errors import (
    DeadlineExceeded,
    LoadFailed,
    ModelCrashed,
    ModelFailed,
)
from tests.fault.actor import ask, command, is_alive, request, save, serving, until, workers
from tests.interop.live import Live, eventually

pytestmark = pytest.mark.fault


async def test_it_computes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    async with serving(save(tmp_path, count=2)) as models:
        assert await ask(models, value=3) == 6
        assert len(workers()) == 2
        big = np.random.default_rng(1).random((1, 3_000_000), np.float32)
        for _ in range(3):
            (answer,) = (await models.infer("actor", x=big, do=[""])).values()
            np.testing.assert_array_equal(answer, big * 2)
        assert await ask(models, "pid") in [p.pid for p in workers()]
    await until(lambda: set(psutil.Process().children(recursive=True)) <= before)


@pytest.mark.timed
@pytest.mark.parametrize(("do", "why"), [("exit", "status 7"), ("kill", "SIGKILL")])
async def test_a_death_fails_its_batch_at_once_and_another_worker_comes(
    tmp_path: Path, do: str, why: str
) -> None:
    async with serving(save(tmp_path)) as models:
        started = time.monotonic()
        with pytest.raises(ModelCrashed, match=f"'actor' version 1: its worker died .*{why}"):
            await ask(models, do)
        assert time.monotonic() - started < 5
        assert await ask(models) == 2


async def test_a_neighbour_notices_nothing(tmp_path: Path) -> None:
    root = save(tmp_path)
    save(root, "other")
    async with serving(root) as models:
        x = np.ones((1, 4), np.float32)
        crash = asyncio.create_task(ask(models, "exit"))
        answers = [await models.infer("other", x=x, do=[""]) for _ in range(20)]
        with pytest.raises(ModelCrashed):
            await crash
        assert all(next(iter(answer.values()))[0, 0] == 2 for answer in answers)


async def test_a_worker_that_hangs_is_killed_after_its_deadline(tmp_path: Path) -> None:
    async with serving(save(tmp_path, kill_after_s=0.5)) as models:
        pid = int(await ask(models, "pid"))
        with pytest.raises(DeadlineExceeded):
            await ask(models, "hang", timeout_s=0.1)
        assert await ask(models) == 2
        assert int(await ask(models, "pid")) != pid
        assert not psutil.pid_exists(pid)


async def test_an_answer_after_the_deadline_is_dropped_and_the_worker_lives(tmp_path: Path) -> None:
    async with serving(save(tmp_path, kill_after_s=10)) as models:
        pid = await ask(models, "pid")
        with pytest.raises(DeadlineExceeded):
            await ask(models, "late", value=5, timeout_s=0.05)
        assert await ask(models, value=3) == 6, "not the late answer"
        assert await ask(models, "pid") == pid


async def test_one_that_outgrows_its_memory_is_killed(tmp_path: Path) -> None:
    async with serving(save(tmp_path, max_memory="300MiB")) as models:
        with pytest.raises(ModelCrashed, match=r"its max_memory is 300 MiB"):
            await ask(models, "leak")
        assert await ask(models) == 2


@pytest.mark.parametrize("do", ["fork", "spawn"])
async def test_what_a_worker_starts_ends_with_it(tmp_path: Path, do: str) -> None:
    async with serving(save(tmp_path)) as models:
        (worker,) = workers()
        assert await ask(models, do) == 2
        children = worker.children()
        assert children
        worker.kill()
        await until(lambda: not any(c.is_running() and is_alive(c) for c in children))
        assert await ask(models) == 2
    assert workers() == []


async def test_it_keeps_to_its_processors(tmp_path: Path) -> None:
    async with serving(save(tmp_path, count=2, cpus=1)):
        allowed = [p.cpu_affinity() for p in workers()]
    assert [len(cpus) for cpus in allowed] == [1, 1]
    assert len({cpus[0] for cpus in allowed}) == min(2, len(os.sched_getaffinity(0)))


async def test_what_it_prints_is_in_our_log_with_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(save(tmp_path)) as models:
        assert await ask(models, "print") == 2
        wanted = {
            ("INFO", "'actor' version 1: said on stdout"),
            ("WARNING", "'actor' version 1: said on stderr"),
        }
        await until(lambda: wanted <= {(r.levelname, r.message) for r in caplog.records})
    said = [r for r in caplog.records if "said on" in r.message]
    assert {(vars(r)["model"], vars(r)["version"]) for r in said} == {("actor", 1)}


@pytest.mark.parametrize(
    ("do", "error", "text"),
    [
        ("raise", ModelFailed, "'actor' version 1 failed: ValueError: out of luck"),
        ("rows", ModelFailed, "answered 0 rows"),
        ("type", ModelFailed, "'actor' version 1"),
        ("refuse", penstock.InvalidInput, "this row is bad"),
    ],
)
async def test_a_wrong_answer_is_the_requests_error_and_the_worker_lives(
    tmp_path: Path, do: str, error: type[Exception], text: str
) -> None:
    async with serving(save(tmp_path)) as models:
        pid = await ask(models, "pid")
        with pytest.raises(error, match=text):
            await ask(models, do)
        assert await ask(models, "pid") == pid


async def test_an_idempotent_model_answers_although_its_worker_died(tmp_path: Path) -> None:
    async with serving(save(tmp_path, idempotent=True)) as models:
        assert await ask(models, "once", value=3) == 6


def test_a_model_that_keeps_crashing_is_in_quarantine_and_says_so(tmp_path: Path) -> None:
    with Live([save(tmp_path)], folder=tmp_path) as server:
        for _ in range(5):
            assert server.infer("actor", *request("exit")).status == 500
        reply = eventually(
            lambda: r if (r := server.infer("actor", *request())).status == 503 else None
        )
        assert "in quarantine: its worker died 5 times in a row" in reply.error
        assert server.ask("GET", "/v2/models/actor/ready").status != 200
        assert server.ask("GET", "/livez").status == 200
        assert server.metric("penstock_worker_deaths_total", model="actor") == 5
        assert server.metric("penstock_instances_ready", model="actor") == 0


async def test_a_model_that_dies_while_it_loads(tmp_path: Path) -> None:
    root = save(
        tmp_path,
        source="import os, sys; sys.stderr.write('no licence\\n'); sys.stderr.flush(); os._exit(4)",
    )
    with pytest.raises(LoadFailed, match=r"exited with status 4; its last words: no licence"):
        async with serving(root):
            raise AssertionError("it serves")
    assert workers() == []


async def test_one_that_takes_too_long_to_load(tmp_path: Path) -> None:
    root = save(tmp_path, source="import time; time.sleep(600)")
    with pytest.raises(LoadFailed, match="did not load its model within 1 s"):
        async with serving(root, **{"workers.start_timeout_s": 1.0}):
            raise AssertionError("it serves")
    assert workers() == []


async def test_no_shared_memory_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "memfd_create", full)
    big = np.random.default_rng(1).random((1, 1_000_000), np.float32)
    async with serving(save(tmp_path)) as models:
        for _ in range(2):
            (answer,) = (await models.infer("actor", x=big, do=[""])).values()
            np.testing.assert_array_equal(answer, big * 2)


def environment(folder: Path, *, marker: str, with_penstock: bool = True) -> Path:
    """A virtual environment with a package ``dependency`` of its own."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependency.py").write_text(f"VERSION = {marker!r}\n")
    if with_penstock:
        ours = [p for p in sys.path if p.endswith(("site-packages", "src"))]
        source = str(Path(penstock.__file__).parents[1])
        (packages / "ours.pth").write_text("\n".join([*ours, source]) + "\n")
    return folder


CONFLICT = """
import os

import dependency
import penstock


class Teller(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        return [f"{dependency.VERSION} {os.environ.get('MOOD')} {os.getcwd()}" for _ in text]
"""


async def test_two_models_with_conflicting_dependencies_serve_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    for name, version in (("old", "1.0"), ("new", "2.0")):
        save(root, name, CONFLICT, python="venv", env={"MOOD": name}, working_dir=".")
        environment(root / name / "venv", marker=version)
    async with serving(root) as models:
        for name, version in (("old", "1.0"), ("new", "2.0")):
            (answer,) = (await models.infer(name, text=["?"])).values()
            assert answer.tolist() == [f"{version} {name} {root / name}".encode()]


async def test_an_environment_without_penstock_is_told_how_to_get_it(tmp_path: Path) -> None:
    save(tmp_path, python="venv")
    environment(tmp_path / "actor" / "venv", marker="x", with_penstock=False)
    with pytest.raises(LoadFailed, match=r"no penstock .*venv/bin/python -m pip install penstock"):
        async with serving(tmp_path):
            raise AssertionError("it serves")


async def test_an_environment_that_is_not_there_is_named(tmp_path: Path) -> None:
    save(tmp_path, python="nowhere")
    with pytest.raises(LoadFailed, match=r"instances.python: no virtual environment .*'nowhere'"):
        async with serving(tmp_path):
            raise AssertionError("it serves")


CALLER = """
import numpy as np
import penstock
from penstock import Rows


class Caller(penstock.Model):
    def load(self, context):
        self.client = context.client

    def predict(self, x: Rows["FP32", -1]) -> Rows["FP32", -1]:
        (answer,) = self.client.infer("actor", x=x, do=[""]*len(x)).values()
        return answer + 1
"""


async def test_a_model_in_a_worker_calls_another(tmp_path: Path) -> None:
    root = save(tmp_path)
    save(root, "caller", CALLER)
    async with serving(root, **{"lifecycle.load_attempts": 5}) as models:
        (answer,) = (await models.infer("caller", x=np.ones((2, 3), np.float32))).values()
        np.testing.assert_array_equal(answer, np.full((2, 3), 3))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_server(tmp_path: Path, number: signal.Signals) -> None:
    root = save(tmp_path, count=2)
    with Live([root], folder=tmp_path) as server:
        assert server.infer("actor", *request()).status == 200
        server.infer("actor", *request("spawn"))
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 4, "two workers, the reaper, and what a model started"
        server.send_signal(number)
        server.wait()
        eventually(lambda: not any(is_alive(p) for p in family))


def test_a_reaper_that_was_killed_is_replaced(tmp_path: Path) -> None:
    root = save(tmp_path)
    with Live([root], folder=tmp_path) as server:
        own = psutil.Process(server.process.pid)
        (reaper,) = [p for p in own.children() if any("reaper" in part for part in command(p))]
        reaper.kill()
        server.infer("actor", *request("exit"))
        eventually(lambda: server.infer("actor", *request()).status == 200)
        family = own.children(recursive=True)
        server.send_signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(is_alive(p) for p in family))


async def test_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    await _kill_for(save(tmp_path, count=2, idempotent=False), kills=6, every_s=0.5)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_minute_of_kills_under_load_loses_nothing(tmp_path: Path) -> None:
    await _kill_for(save(tmp_path, count=2), kills=60, every_s=1.0)


async def _kill_for(root: Path, kills: int, every_s: float) -> None:
    """Kill a worker again and again while 16 clients ask; each answer is right or a typed error."""
    answered = failed = 0
    over = asyncio.Event()

    async def client(models: Models, number: int) -> None:
        nonlocal answered, failed
        while not over.is_set():
            try:
                assert await ask(models, value=number, timeout_s=5.0) == 2 * number
                answered += 1
            except (ModelCrashed, DeadlineExceeded):
                failed += 1

    async with serving(root) as models:
        (stats,) = models._service.stats
        resident, descriptors = psutil.Process().memory_info().rss, psutil.Process().num_fds()
        clients = [asyncio.create_task(client(models, number)) for number in range(16)]
        recoveries = []
        for _ in range(kills):
            await asyncio.sleep(every_s)
            await until(lambda: stats.ready == 2, 10.0)
            deaths, killed_s = stats.worker_deaths, time.monotonic()
            workers()[0].kill()
            await until(lambda seen=deaths: stats.worker_deaths > seen and stats.ready == 2, 10.0)
            recoveries.append(time.monotonic() - killed_s)
        over.set()
        await asyncio.wait_for(asyncio.gather(*clients), 30.0)
        assert stats.worker_deaths == kills
        assert statistics.median(recoveries) < 2 * stats.load_s
        assert answered > 50 * kills
        assert failed <= 16 * kills
        assert psutil.Process().memory_info().rss < resident + 64 * 1024 * 1024
        assert psutil.Process().num_fds() < descriptors + 16
    assert workers() == []
