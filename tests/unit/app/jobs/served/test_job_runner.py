"""The one process that runs the jobs of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.app.jobs.served.entry import MAX_STARTS
from penstock.app.jobs.served.job_messages import Outcome
from penstock.app.settings import JobsSettings
from penstock.core.errors import NotFound, StoreError
from penstock.server.jobs_api.answers import JobProgress
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.app.jobs.served.plant import Plant

DONE = Outcome("done")


@pytest.fixture
def store() -> FakeControlStore:
    return FakeControlStore()


@pytest.fixture
def plant(tmp_path: Path, store: FakeControlStore) -> Plant:
    return Plant(tmp_path / "jobs", store, JobsSettings(roots=(str(tmp_path),)))


async def test_jobs_run_one_at_a_time_in_their_order(plant: Plant) -> None:
    for job_id in ("c", "a", "b"):
        await plant.submit(job_id)
    for job_id in ("c", "a", "b"):
        await plant.runner.look()
        assert plant.launched[-1].entry.id == job_id
        assert await plant.state(job_id) == "running"
        await plant.finish(plant.launched[-1], DONE)
        assert await plant.state(job_id) == "done"
    assert len(plant.launched) == 3


async def test_as_many_run_as_the_setting_says(tmp_path: Path, store: FakeControlStore) -> None:
    plant = Plant(tmp_path / "jobs", store, JobsSettings(roots=(str(tmp_path),), max_running=2))
    for job_id in ("a", "b", "c"):
        await plant.submit(job_id)
    await plant.runner.look()
    await plant.runner.look()
    assert [one.entry.id for one in plant.launched] == ["a", "b"]
    await plant.finish(plant.launched[0], DONE)
    await plant.runner.look()
    assert [one.entry.id for one in plant.launched] == ["a", "b", "c"]
    await plant.runner.close()


async def test_what_a_process_says_is_written_down(plant: Plant) -> None:
    await plant.submit("a")
    await plant.runner.look()
    folder = plant.folder.of(plant.launched[0].entry.folder)
    (folder / "progress.json").write_bytes(b'{"rows": 7, "rows_dead": 1}')
    await plant.finish(plant.launched[0], Outcome("failed", "no column 'x'"))
    told = await plant.desk.show("a")
    assert (told.state, told.error) == ("failed", "no column 'x'")
    assert told.progress == JobProgress(rows=7, rows_dead=1)
    assert told.ended_ms > 0


async def test_a_job_whose_process_dies_is_begun_again_but_not_for_ever(plant: Plant) -> None:
    await plant.submit("a")
    for start in range(MAX_STARTS):
        await plant.runner.look()
        assert len(plant.launched) == start + 1
        await plant.finish(plant.launched[-1], "was killed by SIGKILL")
    assert (await plant.desk.show("a")).error.startswith("its process was killed by SIGKILL")
    await plant.runner.look()
    assert len(plant.launched) == MAX_STARTS


async def test_a_running_job_is_told_that_it_was_cancelled(plant: Plant) -> None:
    await plant.submit("a")
    await plant.runner.look()
    assert (await plant.desk.cancel("a", "bob")).is_cancelling
    assert not plant.launched[0].is_cancelled
    await plant.runner.look()
    assert plant.launched[0].is_cancelled
    await plant.finish(plant.launched[0], Outcome("cancelled"))
    assert await plant.state("a") == "cancelled"


async def test_a_job_that_was_done_before_the_word_reached_it_is_done(plant: Plant) -> None:
    await plant.submit("a")
    await plant.runner.look()
    await plant.desk.cancel("a", "bob")
    await plant.finish(plant.launched[0], DONE)
    assert await plant.state("a") == "done"


async def test_of_two_processes_one_runs_the_jobs(
    plant: Plant, tmp_path: Path, store: FakeControlStore
) -> None:
    other = Plant(tmp_path / "jobs", store, JobsSettings(), "q")
    await plant.submit("a")
    await plant.runner.look()
    await other.runner.look()
    assert (len(plant.launched), len(other.launched)) == (1, 0)
    assert (await other.desk.cancel("a", "bob")).is_cancelling
    await plant.runner.look()
    assert plant.launched[0].is_cancelled
    await plant.runner.close()


async def test_a_process_that_lost_the_lease_ends_its_job_and_the_next_goes_on(
    plant: Plant, tmp_path: Path, store: FakeControlStore
) -> None:
    other = Plant(tmp_path / "jobs", store, JobsSettings(), "q")
    await plant.submit("a")
    await plant.runner.look()
    store.leases.clear()  # it was too late to renew it
    await other.runner.look()
    assert [one.entry.starts for one in other.launched] == [2]
    await plant.runner.look()
    assert plant.launched[0].end.result() == "was killed by SIGKILL"
    while plant.runner._tasks:
        await plant.runner.look()
    assert await other.state("a") == "running", "the end of the lost process is no end of the job"
    await other.finish(other.launched[0], DONE)
    assert await plant.state("a") == "done"


async def test_a_job_of_a_process_that_died_is_gone_on_with(
    plant: Plant, tmp_path: Path, store: FakeControlStore
) -> None:
    await plant.submit("a")
    await plant.submit("b")
    await plant.runner.look()
    store.leases.clear()  # the process is gone
    other = Plant(tmp_path / "jobs", store, JobsSettings(), "q")
    await other.runner.look()
    assert [one.entry.id for one in other.launched] == ["a"]
    await other.runner.close()


async def test_a_job_that_was_cancelled_while_nobody_ran_it_is_not_begun_again(
    plant: Plant, tmp_path: Path, store: FakeControlStore
) -> None:
    await plant.submit("a")
    await plant.runner.look()
    await plant.desk.cancel("a", "bob")
    store.leases.clear()
    other = Plant(tmp_path / "jobs", store, JobsSettings(), "q")
    await other.runner.look()
    assert await other.state("a") == "cancelled"
    assert other.launched == []


async def test_a_server_that_stops_puts_its_job_back(plant: Plant, store: FakeControlStore) -> None:
    await plant.submit("a")
    plant.runner.start()
    while not plant.launched:
        await plant.desk.list()
    await plant.runner.close()
    told = await plant.desk.show("a")
    assert (told.state, told.starts) == ("queued", 0)
    assert store.leases == {}


async def test_a_store_that_is_down_for_a_while_loses_nothing(
    plant: Plant, store: FakeControlStore
) -> None:
    await plant.submit("a")
    await plant.runner.look()
    store.fault = StoreError("down")
    with pytest.raises(StoreError):
        await plant.runner.look()
    plant.launched[0].end.set_result(DONE)
    for _ in range(20):
        await plant.folder_turn()
    store.fault = None
    while await plant.state("a") != "done":
        await plant.folder_turn()


async def test_what_ended_long_ago_is_forgotten(plant: Plant) -> None:
    await plant.submit("a")
    await plant.runner.look()
    folder = plant.folder.of(plant.launched[0].entry.folder)
    await plant.finish(plant.launched[0], DONE)
    plant.clock.advance(JobsSettings().keep_s - 1)
    await plant.runner.look()
    assert folder.exists()
    plant.clock.advance(2)
    await plant.runner.look()
    assert not folder.exists()
    with pytest.raises(NotFound):
        await plant.desk.show("a")
