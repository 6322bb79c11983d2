"""The control store of a live server is locked, full, corrupt or gone: it serves on and says so."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fault.fleet import EXPLICIT, Fleet, Steady, save_who
from tests.interop.live import AT_ONCE, Live, eventually, text_input
from tests.interop.models import save_version
from tests.stores.test_sqlite_faults import held

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

HTTP_ONLY = ("--set", "grpc.enabled=false")
LOAD = "/v2/repository/models/m/load"
UNLOAD = "/v2/repository/models/m/unload"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    save_who(root)
    save_version(root, "m", 1)
    return root


@pytest.fixture
def server(tmp_path: Path, models: Path) -> Iterator[Fleet]:
    with Fleet([models], *EXPLICIT, *HTTP_ONLY, folder=tmp_path) as live:
        assert live.ask("POST", LOAD).status == 200
        yield live


def refusal(server: Live, order: str = UNLOAD) -> str:
    """What an order is told that cannot be written down."""
    reply = server.ask("POST", order)
    assert reply.status == 503, reply.body
    assert "Traceback" not in server.log_text()
    assert "control store" in reply.error
    assert "control.db" not in reply.error, "a path of the server's"
    return reply.error


def test_a_locked_store(server: Fleet) -> None:
    with Steady(server, "m") as clients, held(server.folder() / "control.db", "writes"):
        assert "locked" in refusal(server)
        eventually(lambda: "changes are refused" in server.log_text())
        clients.more(100)
        assert server.is_ready_everywhere("m")
    assert clients.failures == []
    assert server.ask("POST", UNLOAD).status == 200
    assert not server.is_ready_everywhere("m")
    eventually(lambda: "the control store answers again" in server.log_text())


def test_a_store_that_is_removed_and_put_back(server: Fleet) -> None:
    path = server.folder() / "control.db"
    with Steady(server, "m") as clients:
        aside = path.with_name("aside")
        path.rename(aside)
        assert "removed or replaced" in refusal(server)
        clients.more(100)
        aside.rename(path)
        eventually(lambda: server.ask("POST", UNLOAD).status == 200)
    assert {text[:3] for _, text in clients.failures} <= {"404", "503"}  # it was unloaded


def test_a_process_comes_again_only_when_it_knows_what_is_desired(server: Fleet) -> None:
    """Serving with the state of the start would answer 404 for what was loaded by hand."""
    path = server.folder() / "control.db"
    aside = path.with_name("aside")
    with Steady(server, "m") as clients:
        path.rename(aside)
        os.kill(server.pids()[0], signal.SIGKILL)
        eventually(lambda: "cannot start: " in server.log_text())
        clients.more(100)
        aside.rename(path)
        server.back()
        clients.more(100)
        assert server.is_ready_everywhere("m")
    assert not [text for _, text in clients.failures if text[:3].isdigit()]


@pytest.mark.timed
def test_a_corrupt_store(server: Fleet) -> None:
    folder = server.folder()
    with Steady(server, "m") as clients:
        for name in ("control.db", "control.db-wal"):
            size = (folder / name).stat().st_size
            with (folder / name).open("r+b") as file:
                file.write(os.urandom(size))
        started = time.monotonic()
        reply = server.ask("POST", UNLOAD)
        assert reply.status in (200, 503), reply.body
        assert time.monotonic() - started < 15
        clients.more(100 if reply.status == 503 else 0)
    assert not [text for _, text in clients.failures if text[:3] not in ("404", "503")]
    assert len(server.pids()) == 2


def test_a_full_disk(server: Fleet) -> None:
    """Nothing may be written that makes a file longer: what a full disk means to SQLite."""
    limits = psutil.Process().rlimit(psutil.RLIMIT_FSIZE)
    with Steady(server, "m") as clients:
        for pid in server.pids():
            psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        refusal(server)
        clients.more(100)
        for pid in server.pids():
            psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, limits)
        eventually(lambda: server.ask("POST", UNLOAD).status == 200)
    assert {text[:3] for _, text in clients.failures} <= {"404", "503"}


@pytest.mark.timed
def test_a_drain_does_not_wait_for_a_locked_store(server: Fleet) -> None:
    """Who asks whether it is ready must know at once that it ends."""
    with server.each() as connections, held(server.folder() / "control.db", "writes"):
        (rest, *_) = connections.values()
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while rest.ask("GET", "/readyz").status == 200:
                assert time.monotonic() - started < 0.9, "SQLite waits longer for a lock"
        assert server.wait(15) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_was_ordered_survives_a_restart(tmp_path: Path, models: Path, workers: str) -> None:
    save_version(models, "m", 2)
    arguments = (
        *EXPLICIT, *AT_ONCE, *HTTP_ONLY, "--workers", workers,
        "--set", "control_store=sqlite:///control.db",
    )  # fmt: skip
    with Live([models], *arguments, folder=tmp_path) as server:
        config = '{"version_policy": {"specific": [1]}, "labels": {"best": 1}}'
        assert server.ask("POST", LOAD, {"parameters": {"config": config}}).status == 200
        assert server.ask("POST", "/v2/repository/models/who/unload").status == 200
        assert server.ask("POST", "/v2/logging", {"log_verbose_level": 1}).status == 200
    assert server.process.returncode == 0
    with Live([models], *arguments, folder=tmp_path) as server:
        assert server.text_answer("m", "a") == ["a-v1"]
        reply = server.ask(
            "POST", "/v2/models/m/versions/best/infer", {"inputs": [text_input("a")]}
        )
        assert reply.status == 200
        assert server.ask("GET", "/v2/models/who/ready").status == 503
        assert server.ask("GET", "/v2/logging").json()["log_verbose_level"] == 1
        assert server.ask("POST", "/v2/repository/models/who/load").status == 200
    assert "Traceback" not in server.log_text()


def test_files_that_decide_are_not_overruled(tmp_path: Path, models: Path) -> None:
    store = ("--set", "control_store=sqlite:///control.db")
    with Live([models], *EXPLICIT, *AT_ONCE, *store, *HTTP_ONLY, folder=tmp_path) as server:
        assert server.ask("POST", "/v2/repository/models/who/unload").status == 200
    with Live([models], *AT_ONCE, *store, *HTTP_ONLY, folder=tmp_path) as server:
        assert server.ask("GET", "/v2/models/who/ready").status == 200
        assert "not allowed if polling is enabled" in server.ask("POST", LOAD).error
    assert "left alone" in server.log_text()
