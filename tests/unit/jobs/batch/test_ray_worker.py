"""What an actor of the engine ``ray`` does with the splits it is given, without Ray."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from penstock.core.errors import ConfigError, JobInputError, LoadFailed, PenstockError
from penstock.jobs.batch.engine_ray import RayOptions, run_on_ray
from penstock.jobs.batch.ray_worker import RayWorker
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.split import Split
from penstock.jobs.batch.work import Desk, SplitOutcome, Work
from penstock.runtime.process.frame import WireError

OUTCOME = SplitOutcome(SplitTally(rows_in=1, rows_out=1), Receipt(1))


class Puppet:
    """A recipe and its worker: takes two splits before it ends the first, as a pipeline does."""

    def __init__(self) -> None:
        self.load_error: PenstockError | None = None
        self.breaks = False
        self.has_two = threading.Event()
        self.is_closed = threading.Event()

    def make(self) -> Puppet:
        if self.load_error is not None:
            raise self.load_error
        return self

    def serve(self, desk: Desk) -> None:
        first = desk.take()
        if self.breaks:
            raise ValueError("a bug")
        while first is not None:
            second = desk.take()
            if second is not None:
                self.has_two.set()
            if first.split.source == "bad":
                desk.failed(first, JobInputError("bad: torn", retryable=True))
            else:
                desk.done(first, OUTCOME)
            first = second

    def close(self) -> None:
        self.is_closed.set()


def work(name: str) -> Work:
    return Work(Split(name, ""), name)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Puppet], RayWorker]:
    monkeypatch.chdir(tmp_path)

    def start(puppet: Puppet) -> RayWorker:
        made: Any = RayWorker(puppet, str(tmp_path), str(tmp_path))  # type: ignore[arg-type]
        assert made.start() is None
        return made

    return start


def test_it_has_two_splits_at_once(started: Callable[[Puppet], RayWorker]) -> None:
    puppet = Puppet()
    worker = started(puppet)
    with ThreadPoolExecutor() as calls:
        first, second = (calls.submit(worker.run, work(name)) for name in "ab")
        assert puppet.has_two.wait(10)
        calls.submit(worker.close)
        assert first.result(10) == second.result(10) == OUTCOME
    assert puppet.is_closed.is_set()


def test_an_error_is_a_value(started: Callable[[Puppet], RayWorker]) -> None:
    worker = started(Puppet())
    with ThreadPoolExecutor() as calls:
        answer = calls.submit(worker.run, work("bad"))
        calls.submit(worker.close)
        wire = answer.result(10)
    assert wire == WireError("JobInputError", "bad: torn", retryable=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_of_ours_leaves_nobody_waiting(started: Callable[[Puppet], RayWorker]) -> None:
    puppet = Puppet()
    puppet.breaks = True
    worker = started(puppet)
    for name in "ab":
        wire = worker.run(work(name))
        assert isinstance(wire, WireError)
        assert wire.kind == "Internal"
        assert "stopped in the middle of a split" in wire.message
        assert "ValueError: a bug (test_ray_worker.py:" in wire.message
    worker.close()
    assert puppet.is_closed.is_set()


def test_what_keeps_it_from_starting_is_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    puppet = Puppet()
    puppet.load_error = LoadFailed("no model")
    failed = RayWorker(puppet, str(tmp_path), ".").start()  # type: ignore[arg-type]
    assert failed == WireError("LoadFailed", "no model")
    alone = RayWorker(Puppet(), str(tmp_path), "_job").start()  # type: ignore[arg-type]
    assert alone is not None
    assert alone.kind == "ConfigError"
    assert "_job is not there on the node" in alone.message


def test_it_enters_the_drivers_folder_where_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "_job").mkdir()
    assert RayWorker(Puppet(), str(tmp_path), "_job").start() is None  # type: ignore[arg-type]
    assert Path.cwd() == tmp_path
    missing = RayWorker(Puppet(), str(tmp_path / "nowhere"), str(tmp_path))  # type: ignore[arg-type]
    assert missing.start() is None


def test_a_missing_ray_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"engine: ray needs Ray: pip install 'penstock\[ray\]'"):
        run_on_ray(None, RayOptions())  # type: ignore[arg-type]


class FailingClient(ModuleType):
    """A Ray that does not take a client the first times, and has no place for any worker."""

    exceptions = SimpleNamespace(RuntimeEnvSetupError=ImportError)

    def __init__(self, failures: int, why: str) -> None:
        super().__init__("ray")
        self.failures = failures
        self.why = why
        self.connects = 0

    def is_initialized(self) -> bool:
        return False

    def init(self, **settings: Any) -> None:
        self.connects += 1
        if self.connects <= self.failures:
            raise ConnectionAbortedError(f"a traceback:\n{self.why}")

    def remote(self, kind: type) -> Any:
        raise ValueError("connected")

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("failures", "why", "connects", "told"),
    [
        (2, "Starting Ray client server failed.", 3, "ray: .*: connected$"),
        (3, "Starting Ray client server failed.", 3, "at ray://.*: Starting Ray client"),
        (1, "Failed to create runtime_env", 1, "at ray://.*: Failed to create"),
    ],
)
def test_a_cluster_that_fails_to_take_a_client_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, failures: int, why: str, connects: int, told: str
) -> None:
    ray = FailingClient(failures, why)
    monkeypatch.setitem(sys.modules, "ray", ray)
    task: Any = SimpleNamespace(workers=1, board=None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=told):
            run_on_ray(task, RayOptions(address=address))
    assert ray.connects == connects
