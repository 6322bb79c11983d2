"""Rollouts while things break: who decides dies, files vanish, a webhook hangs; nobody waits."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault.rolling import Load, Rolling, save_score
from tests.interop.live import HOST, eventually

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

HTTP_ONLY = ("--set", "grpc.enabled=false")
SOON: dict[str, Any] = {"min_samples": 20, "min_time_s": 0, "timeout_s": 100}
LONG: dict[str, Any] = {"min_samples": 20, "min_time_s": 60, "timeout_s": 100}
SHADOW: dict[str, Any] = {"gates": [{"metric": "agreement", "min_rate": 0, "slack": 0.5}]}


def a_plan(**fields: Any) -> dict[str, Any]:
    """A plan that needs few requests and no time."""
    steps = [{"weight": 30, **SOON}]
    return {"interval_s": 0.2, "gates": [], "steps": steps, "bake": SOON, **fields}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    save_score(root, 1)
    return root


@pytest.fixture
def server(tmp_path: Path, models: Path) -> Iterator[Rolling]:
    with Rolling([models], *HTTP_ONLY, folder=tmp_path) as live:
        yield live
    assert "Traceback" not in live.log_text()


def kill(pid: int, server: Rolling) -> None:
    """Kill a process, and wait for the one in its place."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in server.pids() and len(server.pids()) == server.count)


@pytest.mark.parametrize("phase", ["shadow", "canary", "bake"])
def test_who_decides_is_killed_and_the_rollout_is_done(
    server: Rolling, models: Path, phase: str
) -> None:
    dwell = {"min_samples": 20, "min_time_s": 3, "timeout_s": 100}
    plan = a_plan(
        shadow={**(dwell if phase == "shadow" else SOON), **SHADOW},
        steps=[{"weight": 30, **(dwell if phase == "canary" else SOON)}],
        bake=dwell if phase == "bake" else SOON,
    )
    stage = {"shadow": "shadow", "canary": "canary 30 %", "bake": "bake"}[phase]
    server.keep_first()
    save_score(models, 2)
    with Load(server) as load:
        server.start(plan)
        server.reaches(stage)
        kill(server.decider(), server)
        server.reaches("done", timeout_s=40)
        done_s = time.time()
        load.more(200, done_s + 1)
        assert load.versions(done_s + 1) == {2}
    assert [one.failure for one in load.failures] == []
    assert len(load.broken) <= 6  # what the killed one was at
    reached = [to for to, _ in server.told()]
    assert reached == ["draft", "warm", "shadow", "canary 30 %", "bake", "done"]


def test_who_decides_is_killed_while_the_candidate_loads(server: Rolling, models: Path) -> None:
    server.keep_first()
    with Load(server) as load:
        save_score(models, 2, load_s=2)
        server.start(a_plan())
        server.reaches("warm")
        kill(server.decider(), server)
        server.reaches("failed")
        load.more(200)
        assert load.versions() == {1}
    assert [one.failure for one in load.failures] == []
    assert server.told()[-1] == ("failed", "supervisor")


def test_a_candidate_that_kills_whoever_loads_it_is_loaded_no_more(
    server: Rolling, models: Path
) -> None:
    (models / "score" / "model.yaml").write_text("version_policy: {specific: [1]}\n")
    save_score(models, 2, load_s="os.kill(os.getpid(), 9)")
    with Load(server) as load:
        with contextlib.suppress(OSError, http.client.HTTPException):  # who is asked dies, too
            server.start(a_plan(reference=1))
        eventually(lambda: "has failed: process" in server.log_text())
        eventually(lambda: len(server.pids()) == server.count)
        eventually(lambda: server.is_routed_everywhere(1), 30)
        back_s = time.time()
        load.more(300, back_s)
        assert load.versions() == {1}
        assert server.metric("penstock_process_deaths_total") in (1, 2)
    # where both died at once, nobody had version 1 until they were back
    assert {one.failure[:3] for one in load.failures} <= {"503"}
    assert [one.failure for one in load.failures + load.broken if one.at_s > back_s] == []
    assert server.told()[-1] == ("failed", "supervisor")


def test_who_decides_is_killed_and_a_broken_candidate_is_rolled_back(
    server: Rolling, models: Path, tmp_path: Path
) -> None:
    server.keep_first()
    save_score(models, 2, "float('nan') if os.path.exists('broken') else 2.0")
    with Load(server) as load:
        server.start(a_plan(steps=[{"weight": 30, **LONG}]))
        server.reaches("canary 30 %")
        victim = server.decider()
        (tmp_path / "broken").touch()
        os.kill(victim, signal.SIGKILL)
        server.reaches("rolled back")
        back_s = server.rollout()["history"][-1]["at_ms"] / 1000
        load.more(300, back_s + 1)
        assert load.versions(back_s + 1) == {1}
    assert [one.failure for one in load.failures] == []
    assert len(load.broken) <= 6


@pytest.mark.timed
def test_a_broken_candidate_gets_nothing_in_any_process_within_a_second(
    server: Rolling, models: Path
) -> None:
    server.keep_first()
    save_score(models, 2, "float('nan')")
    with Load(server) as load:
        server.start(a_plan())
        found = server.reaches("rolled back")
        load.more(500)
    assert "NaN" in found["explanation"]
    back_s = found["history"][-1]["at_ms"] / 1000
    took_s = load.last_s(2) - back_s
    assert took_s < 1.0
    assert [one.failure for one in load.failures + load.broken] == []
    decided = server.metric("penstock_rollout_effect_duration_seconds_count", model="score")
    total_s = server.metric("penstock_rollout_effect_duration_seconds_sum", model="score")
    assert decided == 3  # warm, canary, rolled back
    assert total_s < decided
    assert server.metric("penstock_rollout_rollbacks_total", model="score") == 1


@pytest.mark.timed
def test_an_abort_takes_effect_everywhere_within_a_second(server: Rolling, models: Path) -> None:
    server.keep_first()
    save_score(models, 2)
    with Load(server) as load:
        server.start(a_plan(bake=LONG))
        server.reaches("bake")
        load.more(100)
        asked_s = time.time()
        reply = server.ask("POST", "/v2/rollouts/score/abort", {"why": "a bad feeling"})
        answered_s = time.time()
        load.more(300)
    assert reply.status == 200, reply.body
    assert answered_s - asked_s < 1.0
    assert load.last_s(2) - asked_s < 1.0
    assert [one.failure for one in load.failures + load.broken] == []


def test_two_rollouts_of_one_model_are_refused(server: Rolling, models: Path) -> None:
    server.keep_first()
    save_score(models, 2)
    save_score(models, 3)
    server.start(a_plan(steps=[{"weight": 30, **LONG}]))
    server.reaches("canary 30 %")
    eventually(lambda: "3" in str(server.ask("POST", "/v2/repository/index").body))
    second = {"model": "score", "candidate": 3, **a_plan()}
    with server.connections() as connections:
        replies = [rest.ask("POST", "/v2/rollouts", second) for rest in connections]
    assert {reply.status for reply in replies} == {409}
    assert {reply.error for reply in replies} == {
        "a rollout of score to version 2 is under way (canary 30 %): wait for its end, or end it "
        "with 'penstock rollout abort score'"
    }


def test_a_candidate_whose_files_vanish_is_rolled_back(server: Rolling, models: Path) -> None:
    server.keep_first()
    folder = save_score(models, 2)
    with Load(server) as load:
        server.start(a_plan(steps=[{"weight": 30, **LONG}]))
        server.reaches("canary 30 %")
        load.more(100)
        shutil.rmtree(folder)
        found = server.reaches("rolled back")
        back_s = time.time()
        load.more(300, back_s + 1)
        assert load.versions(back_s + 1) == {1}
    assert "version 2" in found["explanation"]
    assert [one.failure for one in load.failures + load.broken] == []


def test_a_control_store_that_is_locked_changes_no_route(server: Rolling, models: Path) -> None:
    server.keep_first()
    save_score(models, 2)
    with Load(server) as load:
        server.start(a_plan(bake={"min_samples": 20, "min_time_s": 5, "timeout_s": 100}))
        server.reaches("bake")
        eventually(lambda: load.versions(time.time() - 0.5) == {2})  # in every process
        locked = sqlite3.connect(server.folder() / "control.db", isolation_level=None)
        with contextlib.closing(locked) as db:
            db.execute("BEGIN IMMEDIATE")
            since_s = time.time()
            eventually(lambda: server.metric("penstock_rollout_stalled", model="score"))
            load.more(500)
            assert load.versions(since_s) == {2}
            db.execute("ROLLBACK")
        server.reaches("done")
    assert [one.failure for one in load.failures + load.broken] == []
    assert server.metric("penstock_rollout_stalled", model="score") == 0


def test_a_control_store_that_is_gone_changes_no_route(tmp_path: Path, models: Path) -> None:
    with Rolling([models], *HTTP_ONLY, folder=tmp_path) as server:
        server.keep_first()
        save_score(models, 2)
        with Load(server) as load:
            server.start(a_plan(steps=[{"weight": 50, **LONG}]))
            server.reaches("canary 50 %")
            for path in server.folder().glob("control.db*"):
                path.unlink()
            eventually(lambda: server.metric("penstock_rollout_stalled", model="score"))
            since_s = time.time()
            load.more(500)
            assert load.versions(since_s) == {1, 2}
        assert [one.failure for one in load.failures + load.broken] == []


@pytest.mark.timed
def test_a_webhook_that_hangs_delays_nothing(server: Rolling, models: Path) -> None:
    server.keep_first()
    save_score(models, 2)
    with socket.create_server((HOST, 0)) as silent, Load(server):
        hook = {"url": f"http://{HOST}:{silent.getsockname()[1]}/", "timeout_s": 60, "attempts": 1}
        began_s = time.monotonic()
        server.start(a_plan(webhook=hook))
        server.reaches("done")
        assert time.monotonic() - began_s < 20
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(100).startswith(b"POST / HTTP/1.1")
