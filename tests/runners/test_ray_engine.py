"""The engine ``ray`` on a cluster of several nodes: what dies is done again, by another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.core.clock import SystemClock
from penstock.core.errors import ConfigError, JobFailed, JobInputError, LoadFailed
from penstock.jobs.batch.board import BoardOptions, SplitBoard
from penstock.jobs.batch.engine import EngineTask
from penstock.jobs.batch.engine_ray import RayOptions, run_on_ray
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.journal import Journal, read_ledger
from penstock.jobs.batch.parts import Cut
from penstock.jobs.batch.split import Split
from penstock.jobs.batch.split_worker import WorkerSettings
from penstock.jobs.batch.work import SplitOutcome, Work
from tests.runners.ray_parts import PartRecipe

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]


class Watched(SplitBoard):
    """Calls somebody when so many splits are done."""

    at = 0
    then: Callable[[], None] | None = None

    def done(self, work: Work, outcome: SplitOutcome) -> None:
        super().done(work, outcome)
        if self.then is not None and self.progress().splits_done == self.at:
            self.then()


def names(count: int) -> list[str]:
    return [f"s{number:02}" for number in range(count)]


def board(folder: Path, count: int, policy: FailurePolicy | None = None) -> Watched:
    todo = [Work(Split(name, ""), name) for name in names(count)]
    options = BoardOptions(policy or FailurePolicy())
    return Watched(todo, Journal(folder / "journal"), options, SystemClock())


def run(
    cluster: Any, board: SplitBoard, recipe: PartRecipe, workers: int = 3, **options: Any
) -> None:
    chosen = RayOptions(address=cluster.address, start_timeout_s=120)
    if options:
        chosen = RayOptions(address=cluster.address, **options)
    run_on_ray(task(board, recipe, workers), chosen)
    board.check()


def task(board: SplitBoard, recipe: PartRecipe, workers: int = 1) -> Any:
    parts = SimpleNamespace(state=Path(recipe.folder))
    settings = WorkerSettings(Cut(1, 1, 1), b"", memory_bytes=2**20, copies=workers)
    return EngineTask(parts, settings, board, workers, recipe, 0)  # type: ignore[arg-type]


def begun(folder: Path) -> list[list[str]]:
    """Source and process of each split that was begun."""
    return [line.split() for line in (folder / "log").read_text().splitlines()]


def workers_of(folder: Path) -> set[str]:
    return {pid for _, pid in begun(folder)}


def parts(folder: Path) -> list[str]:
    return sorted(part.read_text() for part in folder.glob("part-*"))


def journaled(folder: Path) -> list[str]:
    return sorted(read_ledger(folder / "journal").done)


def test_every_split_is_done_once_by_workers_on_every_node(cluster: Any, tmp_path: Path) -> None:
    for _ in range(3):
        cluster.add_node(num_cpus=1)
    run(cluster, board(tmp_path, 12), PartRecipe(str(tmp_path), 0.3))
    assert parts(tmp_path) == journaled(tmp_path) == names(12)
    assert sorted(source for source, _ in begun(tmp_path)) == names(12)
    assert len(workers_of(tmp_path)) == 3
    assert set((tmp_path / "closed").read_text().split()) == workers_of(tmp_path)


def test_a_node_that_is_killed_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    job = board(tmp_path, 16)
    job.at, job.then = 4, lambda: cluster.remove_node(nodes[1], allow_graceful=False)
    run(cluster, job, PartRecipe(str(tmp_path), 0.7))
    assert parts(tmp_path) == journaled(tmp_path) == names(16)
    again = len(begun(tmp_path)) - 16
    assert again == 1, "what the dead node had begun is done again, and nothing else"


def test_a_node_that_comes_later_takes_part(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    job = board(tmp_path, 24)
    job.at, job.then = 2, lambda: cluster.add_node(num_cpus=1)
    run(cluster, job, PartRecipe(str(tmp_path), 0.5), workers=2)
    assert journaled(tmp_path) == names(24)
    assert len(workers_of(tmp_path)) == 2


def test_a_worker_that_is_killed_has_its_split_given_to_another(
    cluster: Any, tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=2)
    job = board(tmp_path, 8)
    job.at, job.then = 2, lambda: os.kill(int(begun(tmp_path)[-1][1]), signal.SIGKILL)
    run(cluster, job, PartRecipe(str(tmp_path), 0.5), workers=2)
    assert parts(tmp_path) == journaled(tmp_path) == names(8)
    assert len(workers_of(tmp_path)) == 3


def test_a_split_that_kills_every_worker_fails_the_job(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=2)
    recipe = PartRecipe(str(tmp_path), 0.1, poison="s01")
    told = "s01: 4 workers died while they did it, .*; the last: .* Worker exit type: SYSTEM_ERROR"
    with pytest.raises(JobFailed, match=told):
        run(cluster, board(tmp_path, 4), recipe, workers=2)
    assert [source for source, _ in begun(tmp_path)].count("s01") == 4


def test_what_a_worker_raises_comes_out(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    broken = PartRecipe(str(tmp_path), broken="s02")
    with pytest.raises(JobInputError, match="s02: expected a file, got none"):
        run(cluster, board(tmp_path, 4), broken)
    (tmp_path / "journal").unlink()
    run(cluster, board(tmp_path, 4, FailurePolicy(bad_files="skip")), broken)
    assert journaled(tmp_path) == ["s00", "s01", "s03"]
    with pytest.raises(LoadFailed, match="no such file"):
        run(cluster, board(tmp_path, 9), PartRecipe(str(tmp_path), load_error="no such file"))


def test_workers_that_die_while_they_start_fail_the_job(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    recipe = PartRecipe(str(tmp_path), dies_at_start=True)
    with pytest.raises(JobFailed, match="3 workers in a row died while they started"):
        run(cluster, board(tmp_path, 4), recipe, workers=1)


def test_workers_that_die_together_while_they_start_are_replaced(
    cluster: Any, tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=3)
    run(cluster, board(tmp_path, 6), PartRecipe(str(tmp_path), 0.1, dying=range(3)))
    assert journaled(tmp_path) == names(6)


def test_a_place_where_every_worker_dies_is_left_empty(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=2)
    job = board(tmp_path, 40)
    run(cluster, job, PartRecipe(str(tmp_path), 0.5, dying=range(1, 99)), workers=2)
    assert journaled(tmp_path) == names(40)
    assert len(workers_of(tmp_path)) == 1
    assert len(list(tmp_path.glob("start-*"))) == 1 + 3


def test_a_bug_while_a_worker_starts_is_told_in_words(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    recipe = PartRecipe(str(tmp_path), bug="seven")
    with pytest.raises(JobFailed, match=r"^a worker of the engine ray: ValueError: seven; nobody"):
        run(cluster, board(tmp_path, 4), recipe)


def test_what_no_worker_can_take_is_refused(cluster: Any, tmp_path: Path) -> None:
    recipe = PartRecipe(str(tmp_path))
    with pytest.raises(ConfigError, match=r"^ray: no worker can take such .*CPU"):
        run(cluster, board(tmp_path, 4), recipe, resources={"CPU": 1})


@pytest.mark.parametrize(
    ("runtime_env", "told"),
    [
        ({"py_modules": ["/nowhere/x.whl"]}, r"^ray\.runtime_env: .*/nowhere/x\.whl"),
        ({"pip": 3}, r"^ray\.address: no Ray to work with at .*: .*pip"),
    ],
)
def test_a_runtime_env_that_cannot_be_made(
    cluster: Any, tmp_path: Path, runtime_env: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        run(cluster, board(tmp_path, 4), PartRecipe(str(tmp_path)), runtime_env=runtime_env)


def test_a_worker_that_finds_no_place_fails_the_job(cluster: Any, tmp_path: Path) -> None:
    recipe = PartRecipe(str(tmp_path))
    with pytest.raises(JobFailed, match="no worker was ready within 3 s: one takes 2 CPU"):
        run(cluster, board(tmp_path, 4), recipe, cpus=2, start_timeout_s=3)


def test_a_ray_of_its_own_where_no_address_is_given(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    run_on_ray(task(board(tmp_path, 3), PartRecipe(str(tmp_path))), RayOptions())
    assert journaled(tmp_path) == names(3)
    assert not ray.is_initialized()


def test_a_state_folder_that_a_node_does_not_have(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    job = board(tmp_path, 3)
    wanted = task(job, PartRecipe(str(tmp_path)))._replace(
        parts=SimpleNamespace(state=tmp_path / "elsewhere")
    )
    run_on_ray(wanted, RayOptions(address=cluster.address))
    with pytest.raises(ConfigError, match=r"elsewhere is not there on the node .* all nodes share"):
        job.check()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_is(tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=f"ray.address: no Ray to work with at {address}: "):
        run_on_ray(task(board(tmp_path, 3), PartRecipe(str(tmp_path))), RayOptions(address=address))
