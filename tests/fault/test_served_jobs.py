"""Jobs over HTTP, their processes and their servers killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fault.served_jobs import (
    ROWS,
    JobServer,
    contents,
    csv_of,
    job_processes,
    put_input,
)
from tests.interop.live import eventually

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]

VALUES = [float(number) for number in range(ROWS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put_input(tmp_path, VALUES)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[JobServer]:
    with JobServer(folder) as live:
        yield live


def outputs(folder: Path, job_id: str) -> list[bytes]:
    return contents(folder / "data" / f"out-{job_id}")


def check_whole(server: JobServer, folder: Path, job_id: str) -> None:
    """The job is done, and its output is that of one that nobody has disturbed."""
    assert server.wait_state(job_id, "done", "failed")["error"] == ""
    server.submit("calm", keep=["id"])
    server.wait_state("calm", "done")
    assert outputs(folder, job_id) == outputs(folder, "calm")
    rows = [line for part in outputs(folder, job_id) for line in part.splitlines()[1:]]
    assert len(rows) == ROWS
    assert (folder / "data" / f"out-{job_id}" / "_SUCCESS").exists()


def test_a_job_whose_process_is_killed_goes_on(server: JobServer, folder: Path) -> None:
    server.submit("killed", keep=["id"])
    for rows in (60, 300):
        server.wait_rows("killed", rows)
        (job,) = eventually(lambda: job_processes(server.process.pid))
        job.kill()
        eventually(lambda job=job: not job.is_running())  # type: ignore[misc]
    check_whole(server, folder, "killed")
    assert server.job("killed")["starts"] == 3
    assert "was killed by SIGKILL" in server.log_text()


def test_a_job_that_always_dies_fails_with_the_reason(server: JobServer) -> None:
    server.upload(csv_of([-1.0]), id="dies")
    dead: set[int] = set()
    while server.job("dies")["state"] != "failed":
        for job in job_processes(server.process.pid):
            if job.pid not in dead:
                dead.add(job.pid)
                job.kill()
    assert "was killed by SIGKILL; it was begun 5 times" in server.job("dies")["error"]
    assert len(dead) == 5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_in_mid_job_goes_on_after_its_restart(
    folder: Path, how: signal.Signals
) -> None:
    with JobServer(folder) as first:
        first.submit("long", keep=["id"])
        first.upload(csv_of([4.0]), id="next")
        first.wait_rows("long", 200)
        (job,) = job_processes(first.process.pid)
        first.send_signal(how)
        first.wait(30)
        eventually(lambda: not job.is_running(), 5)
    assert outputs(folder, "long") != []
    with JobServer(folder) as second:
        told = second.job("long")
        assert told["state"] in ("queued", "running")
        check_whole(second, folder, "long")
        starts = second.job("long")["starts"]
        assert starts == (2 if how == signal.SIGKILL else 1), "an orderly end counts no start"
        second.wait_state("next", "done")
        assert second.ask("GET", "/v2/jobs/next/result?file=all").status == 200


def test_of_two_serving_processes_one_runs_a_job_and_the_other_takes_over(folder: Path) -> None:
    with JobServer(folder, "--workers", "2") as server:
        server.submit("shared", keep=["id"])
        seen: set[int] = set()
        for rows in (50, 100, 150):
            server.wait_rows("shared", rows)
            running = job_processes(server.process.pid)
            assert len(running) == 1
            seen |= {one.pid for one in running}
        assert len(seen) == 1
        for _ in range(4):  # whichever process is asked
            assert server.job("shared")["state"] == "running"
        (job,) = running
        serving = psutil.Process(job.ppid())
        serving.kill()
        eventually(lambda: not job.is_running(), 5)
        eventually(lambda: job_processes(server.process.pid), 30)
        check_whole(server, folder, "shared")
        assert server.job("shared")["starts"] == 2


def test_a_queue_in_a_control_store_outlives_the_server(folder: Path) -> None:
    store = ("--set", f"control_store=sqlite:///{folder / 'control.db'}")
    with JobServer(folder, *store) as first:
        first.submit("long", keep=["id"])
        first.wait_rows("long", 50)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    with JobServer(folder, *store) as second:
        check_whole(second, folder, "long")
    assert not (folder / "jobs" / "jobs.db").exists()


def test_a_full_disk_at_an_upload(server: JobServer) -> None:
    process = psutil.Process(server.process.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    server.upload(csv_of([4.0]), id="before")
    process.rlimit(psutil.RLIMIT_FSIZE, (500_000, before[1]))
    reply = server.upload(b"x\n" + b"1\n" * 1_000_000, id="full")
    process.rlimit(psutil.RLIMIT_FSIZE, before)
    assert (reply.status, "jobs.folder" in reply.error) == (503, True), reply.body
    assert server.ask("GET", "/v2/jobs/full").status == 404
    assert len([*server.jobs_folder.glob("job-*")]) == 1
    assert server.upload(csv_of([4.0]), id="full").status == 202
    assert server.wait_state("full", "done", "failed")["error"] == ""


def test_a_client_that_goes_away_in_mid_upload_leaves_nothing(server: JobServer) -> None:
    with server.rest() as rest:
        connection = rest.connection
        connection.putrequest("POST", "/v2/jobs?model=doubler&format=csv&id=gone")
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        connection.send(b"x\n1\n")
        eventually(lambda: [*server.jobs_folder.glob("job-*/input.csv")])
    eventually(lambda: [*server.jobs_folder.glob("job-*")] == [])
    assert server.ask("GET", "/v2/jobs/gone").status == 404


def test_a_signal_to_the_whole_group_ends_no_job_by_itself(server: JobServer) -> None:
    server.submit("grouped", keep=["id"])
    server.wait_rows("grouped", 50)
    (job,) = job_processes(server.process.pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        job.send_signal(number)
    server.wait_rows("grouped", 150)
    assert job.is_running()
    server.wait_state("grouped", "done")
    assert server.job("grouped")["starts"] == 1


def test_a_second_job_on_the_same_output_is_refused(server: JobServer, folder: Path) -> None:
    server.submit("one", keep=["id"])
    server.wait_state("one", "done")
    other = {"format": "csv", "path": str(folder / "data" / "out-one")}
    server.submit("two", output=other)
    told = server.wait_state("two", "failed", "done")
    assert told["state"] == "failed"
    assert "another" in told["error"] or "other" in told["error"]


def test_a_jobs_folder_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("no folder")
    server = JobServer(tmp_path)
    assert server.wait(30) == 2
    assert "jobs.folder" in server.log_text()
