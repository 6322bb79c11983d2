"""``penstock serve --workers 2`` with a model in processes: whoever dies, and what is left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fault.actor import command, is_alive, request, save
from tests.fault.fleet import Fleet, save_who
from tests.interop.live import eventually

pytestmark = pytest.mark.fault


def fleet(folder: Path) -> Fleet:
    root = save(folder / "models", count=2)
    save_who(root)
    return Fleet([root], folder=folder)


def workers_of(server: Fleet) -> set[int]:
    """The worker processes, of which each serving process should start none."""
    family = psutil.Process(server.process.pid).children(recursive=True)
    return {p.pid for p in family if any("runtime.process.worker" in part for part in command(p))}


def all_answer(server: Fleet) -> bool:
    with server.each() as connections:
        replies = [rest.infer("actor", *request()) for rest in connections.values()]
    return all(reply.status == 200 for reply in replies)


def test_two_serving_processes_have_the_two_workers_of_the_model(tmp_path: Path) -> None:
    with fleet(tmp_path) as server:
        supervisor = psutil.Process(server.process.pid)
        workers = workers_of(server)
        assert len(workers) == 2
        assert workers <= {child.pid for child in supervisor.children()}
        with server.each() as connections:
            assert set(connections) == set(server.pids())
            for rest in connections.values():
                (output,) = rest.infer("actor", *request("pid")).json()["outputs"]
                assert output["data"][0] in workers


def test_a_serving_process_that_is_killed_costs_no_worker(tmp_path: Path) -> None:
    with fleet(tmp_path) as server:
        workers, first = workers_of(server), server.pids()[0]
        psutil.Process(first).kill()
        eventually(lambda: len(server.pids()) == 2 and first not in server.pids(), 30)
        server.back()
        assert all_answer(server)
        assert workers_of(server) == workers


def test_a_worker_that_is_killed_is_replaced_once_for_all(tmp_path: Path) -> None:
    with fleet(tmp_path) as server:
        workers = workers_of(server)
        psutil.Process(min(workers)).kill()
        eventually(lambda: len(workers_of(server)) == 2 and workers_of(server) != workers, 30)
        eventually(lambda: all_answer(server), 30)
        assert len(workers_of(server) & workers) == 1
        assert server.metric("penstock_worker_deaths_total", model="actor") == 1


def end(server: Fleet, number: signal.Signals) -> None:
    server.send_signal(number)
    server.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    with fleet(tmp_path) as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 6, "two serving processes, two workers, two reapers"
        end(server, number)
        eventually(gone(family), 30)


def gone(family: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(is_alive(process) for process in family)
