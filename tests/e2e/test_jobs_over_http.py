"""Batch jobs over HTTP, against a live server."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fault.served_jobs import JobServer, csv_of, job_processes, parts_of, put_input
from tests.interop.live import Live, eventually, tensor

pytest.importorskip("pyarrow")

VALUES = [float(number) for number in range(40)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    folder = tmp_path_factory.mktemp("jobs")
    put_input(folder, VALUES)
    limit = ("--set", "jobs.max_upload_bytes=1MiB", "--set", "jobs.max_queued=3")
    with JobServer(folder, *limit) as live:
        yield live


def rows_of(text: bytes) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_upload_is_predicted_and_fetched(server: JobServer) -> None:
    reply = server.upload(csv_of(VALUES), id="up", keep="id", rename__output="z", split_rows="7")
    assert reply.status == 202, reply.body
    assert reply.headers["location"] == "/v2/jobs/up"
    assert server.wait_state("up", "done", "failed")["error"] == ""
    found = server.ask("GET", "/v2/jobs/up/result").json()
    assert found["report"]["tally"]["rows_out"] == len(VALUES)
    everything = server.ask("GET", "/v2/jobs/up/result?file=all")
    assert [row["id"] for row in rows_of(everything.body)] == [*range(len(VALUES))]
    assert [row["z"] for row in rows_of(everything.body)] == [2 * value for value in VALUES]
    one = found["files"][0]
    part = server.ask("GET", f"/v2/jobs/up/result?file={one['name']}")
    assert everything.body.startswith(part.body)
    assert len(part.body) == one["num_bytes"]


def test_a_packed_upload_is_the_same_job(server: JobServer) -> None:
    packed = gzip.compress(csv_of(VALUES))
    headers = {"Content-Encoding": "gzip", "Idempotency-Key": "packed"}
    assert server.upload(packed, headers, output="csv").status == 202
    assert server.wait_state("packed", "done", "failed")["error"] == ""
    text = server.ask("GET", "/v2/jobs/packed/result?file=all").body.decode()
    assert [float(line) for line in text.splitlines()[1:]] == [2 * value for value in VALUES]


def test_files_by_reference(server: JobServer) -> None:
    reply = server.submit("ref", keep=["id"])
    assert reply.status == 202, reply.body
    told = server.wait_state("ref", "done", "failed")
    assert told["error"] == ""
    output = server.folder / "data" / "out-ref"
    assert told["output"] == str(output)
    assert (output / "_SUCCESS").exists()
    assert sum(len(part.splitlines()) - 1 for part in parts_of(output).values()) == len(VALUES)
    assert server.ask("GET", "/v2/jobs/ref/result").json()["report"]["tally"]["rows_in"] == 40
    assert server.ask("GET", "/v2/jobs/ref/result?file=all").status == 409
    assert server.ask("DELETE", "/v2/jobs/ref").status == 200
    assert (output / "_SUCCESS").exists(), "files by reference stay"


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "nothing"}, 404, "nothing"),
        ({"model": {"name": "doubler", "version": 7}}, 404, "7"),
        ({"model": {"path": "/etc"}}, 400, "that this server serves"),
        ({"input": {"format": "csv", "path": "/etc/passwd"}}, 400, "jobs.roots"),
        ({"input": {"format": "csv", "path": "{data}/../secret.csv"}}, 400, "jobs.roots"),
        ({"input": {"format": "csv", "path": "{data}/link/*.csv"}}, 400, "jobs.roots"),
        ({"output": {"format": "csv", "path": "{data}/link/out"}}, 400, "jobs.roots"),
        ({"transform": {"python": "x.py:f"}}, 400, "not offered over HTTP"),
        ({"input": {"format": "sql", "url": "sqlite:///x"}}, 400, "input"),
        ({"workers": 64}, 400, "jobs.max_workers"),
        ({"keeps": {}}, 400, "did you mean 'keep'"),
        ({"id": "../x"}, 400, "a job's id"),
    ],
)
def test_what_is_not_taken(
    server: JobServer, fields: dict[str, Any], status: int, says: str
) -> None:
    data = server.folder / "data"
    link = data / "link"
    if not link.is_symlink():
        link.symlink_to(server.folder)
    told = json.loads(json.dumps(fields).replace("{data}", str(data)))
    reply = server.submit("bad", **told)
    assert reply.status == status, reply.body
    assert says in reply.error
    assert server.ask("GET", "/v2/jobs/bad").status == 404


def test_a_link_that_a_pattern_finds_fails_the_job(server: JobServer) -> None:
    data = server.folder / "data"
    (server.folder / "outside.csv").write_bytes(csv_of(VALUES))
    (data / "links").mkdir()
    (data / "links" / "x.csv").symlink_to(server.folder / "outside.csv")
    assert server.submit("links", input={"format": "csv", "path": f"{data}/links"}).status == 202
    assert "jobs.roots" in server.wait_state("links", "failed", "done")["error"]
    assert parts_of(data / "out-links") == {}


def test_an_upload_that_is_too_large(server: JobServer) -> None:
    reply = server.upload(b"x" * (1024 * 1024 + 1), id="large")
    assert (reply.status, "jobs.max_upload_bytes" in reply.error) == (413, True)

    def pieces() -> Iterator[bytes]:
        yield from (b"x" * 65536 for _ in range(17))

    with server.rest() as rest:  # of a length that is not announced
        target = "/v2/jobs?model=doubler&format=csv&id=large"
        rest.connection.request(
            "POST", target, pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        assert rest.connection.getresponse().status == 413
    assert server.ask("GET", "/v2/jobs/large").status == 404


def test_uploads_that_are_refused(server: JobServer) -> None:
    before = {*server.jobs_folder.iterdir()}
    for content, query, status in (
        (b"", {}, 400),
        (b"x\n1\n", {"model": "nothing"}, 404),
        (b"x\n1\n", {"format": "xml"}, 400),
        (b"x\n1\n", {"input__path": "/etc/passwd"}, 400),
        (b"x\n1\n", {"output__path": "/tmp"}, 400),
        (b"x\n1\n", {"version": "9"}, 404),
    ):
        assert server.upload(content, id="refused", **query).status == status, query
    assert server.upload(b"x\n1\n", {"Content-Encoding": "br"}).status == 415
    assert server.ask("POST", "/v2/jobs?model", b"x").status == 400
    assert server.ask("POST", "/v2/jobs", b"x\n1\n", Content_Type="text/csv").status == 400
    assert server.ask("GET", "/v2/jobs?state=done").status == 404
    assert {*server.jobs_folder.glob("job-*")} <= before


def test_a_file_that_does_not_fit_the_model_fails_with_the_reason(server: JobServer) -> None:
    server.upload(b"a,b\n1,2\n", id="misfit")
    told = server.wait_state("misfit", "failed", "done")
    assert "'x'" in told["error"]
    assert str(server.jobs_folder) not in told["error"]
    reply = server.ask("GET", "/v2/jobs/misfit/result")
    assert (reply.status, "it is failed" in reply.error) == (409, True)


def test_bad_rows_are_dead_letters(server: JobServer) -> None:
    server.upload(csv_of([1.0, -2.0, 3.0]), id="dead", on_error__max_rate="0.5")
    told = server.wait_state("dead", "done", "failed")
    assert (told["state"], told["progress"]["rows_dead"]) == ("done", 1)


def test_the_same_request_twice_and_another_one_with_its_id(server: JobServer) -> None:
    assert server.submit("twice").status == 202
    assert server.submit("twice").status == 200
    assert server.submit("twice", keep=["id"]).status == 409
    assert server.upload(csv_of(VALUES), id="twice").status == 409
    server.wait_state("twice", "done")


def test_cancelling_in_each_state(server: JobServer) -> None:
    server.upload(csv_of([1.0] * 8 + [-1.0]), id="endless", batch_size="1")
    server.upload(csv_of(VALUES), id="waits")
    server.wait_rows("endless", 1)
    assert server.ask("GET", "/v2/jobs/endless/result").status == 409
    assert server.ask("DELETE", "/v2/jobs/endless").status == 409
    assert server.ask("POST", "/v2/jobs/waits/cancel").json()["state"] == "cancelled"
    assert server.ask("POST", "/v2/jobs/waits/cancel").json()["state"] == "cancelled"
    server.ask("POST", "/v2/jobs/endless/cancel")
    assert server.wait_state("endless", "cancelled")["is_cancelling"] is False
    server.upload(csv_of(VALUES), id="whole")
    server.wait_state("whole", "done")
    assert server.ask("POST", "/v2/jobs/whole/cancel").status == 409
    for job_id in ("endless", "waits", "whole"):
        assert server.ask("DELETE", f"/v2/jobs/{job_id}").status == 200
        assert server.ask("GET", f"/v2/jobs/{job_id}").status == 404
        assert server.ask("POST", f"/v2/jobs/{job_id}/cancel").status == 404


def test_too_many_jobs_and_who_asked(server: JobServer) -> None:
    server.upload(csv_of([-1.0]), id="first")
    server.wait_state("first", "running")
    for job_id in ("q1", "q2", "q3"):
        assert server.ask("GET", "/v2/jobs").status == 200
        assert server.upload(csv_of(VALUES), {"X-Penstock-Actor": "ann"}, id=job_id).status == 202
    refused = server.upload(csv_of(VALUES), id="q4")
    assert (refused.status, "retry-after" in refused.headers) == (429, True)
    assert server.job("q1")["who"] == "ann"
    listed = [one["id"] for one in server.ask("GET", "/v2/jobs").json()["jobs"]]
    assert listed[:4] == ["q3", "q2", "q1", "first"]
    for job_id in ("q1", "q2", "q3", "first"):
        server.ask("POST", f"/v2/jobs/{job_id}/cancel")
        server.wait_state(job_id, "cancelled")


def test_methods_and_online_requests_meanwhile(server: JobServer) -> None:
    assert server.ask("PUT", "/v2/jobs").status == 405
    assert server.ask("POST", "/v2/jobs/up").status == 405
    assert server.ask("GET", "/v2/jobs/up/nothing").status == 404
    server.upload(csv_of(VALUES), id="beside")
    reply = server.infer("doubler", tensor("x", "FP64", [1], [4.0]))
    assert reply.json()["outputs"][0]["data"] == [8.0]
    server.wait_state("beside", "done")


def test_a_job_stands_back(server: JobServer, tmp_path: Path) -> None:
    put_input(tmp_path, VALUES)
    with JobServer(tmp_path, "--set", "jobs.niceness=19") as live:
        live.upload(csv_of([-1.0]), id="endless")
        (job,) = eventually(lambda: job_processes(live.process.pid))
        eventually(lambda: os.sched_getscheduler(job.pid) == os.SCHED_IDLE)
        assert job.nice() == 19
        threads = {thread.id for thread in job.threads()}
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}
        assert psutil.Process(live.process.pid).nice() < 19
        assert os.sched_getscheduler(live.process.pid) == os.SCHED_OTHER


def test_a_server_without_the_setting_takes_no_jobs(tmp_path: Path, server: JobServer) -> None:
    with Live([server.folder / "models"], folder=tmp_path) as live:
        for method, path in (("GET", "/v2/jobs"), ("POST", "/v2/jobs?model=m&format=csv")):
            reply = live.ask(method, path)
            assert (reply.status, "jobs.folder" in reply.error) == (501, True)
        assert eventually(lambda: live.ask("GET", "/readyz").status == 200)
