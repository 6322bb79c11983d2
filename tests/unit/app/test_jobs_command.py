"""``penstock jobs``: what is asked of the server, what is printed, exit status."""

from __future__ import annotations

import json

import pytest

from tests.unit.app.shell import Shell, StubServer

JOB = {
    "id": "monday",
    "name": "monday",
    "state": "running",
    "model": "m",
    "version": 3,
    "is_upload": True,
    "output": "",
    "progress": {"splits": 4, "splits_done": 1, "rows": 12345, "rows_dead": 6},
    "is_cancelling": False,
    "error": "",
    "who": "[red]ann",
    "submitted_ms": 1_700_000_000_000,
}
FAILED = {**JOB, "id": "a", "state": "failed", "error": "no column [x]", "is_cancelling": False}
TALLY = {"rows_in": 1000, "rows_out": 999, "rows_dead": 1}
RESULT = {
    "id": "monday",
    "report": {"wall_s": 2.5, "tally": TALLY},
    "files": [{"name": "part-1.csv", "num_bytes": 2048}],
    "output": "",
}
_HEAD = "job     state    model  rows    dead  splits  who       submitted\n"


@pytest.fixture(autouse=True)
def answers(stub: StubServer) -> None:
    stub.answers |= {
        "GET /v2/jobs": (200, {"jobs": [JOB]}),
        "GET /v2/jobs/monday": (200, JOB),
        "GET /v2/jobs/a": (200, FAILED),
        "GET /v2/jobs/monday/result": (200, RESULT),
        "POST /v2/jobs/monday/cancel": (200, {**JOB, "is_cancelling": True}),
        "GET /v2/jobs/none": (404, {"error": "there is no job 'none'"}),
        "GET /v2/jobs/a/result": (409, {"error": "job 'a' has no result"}),
    }


def test_list(shell: Shell, stub: StubServer) -> None:
    line = "monday  running  m:3    12,345  6     1/4     [red]ann  2023-11-14 22:13:20Z\n"
    assert shell("jobs", "list") == (0, _HEAD + line, "")
    assert json.loads(shell("jobs", "list", "--json").out) == [JOB]
    stub.answers["GET /v2/jobs"] = (200, {"jobs": []})
    assert shell("jobs", "list") == (0, "", f"no jobs at {stub.url}\n")


def test_show(shell: Shell) -> None:
    assert "running" in shell("jobs", "show", "monday").out
    assert shell("jobs", "show", "a").out.endswith("\nno column [x]\n")
    assert json.loads(shell("jobs", "show", "a", "--json").out) == FAILED
    ran = shell("jobs", "show", "none")
    assert (ran.code, "there is no job 'none'" in ran.err) == (1, True)


def test_cancel_says_who(shell: Shell, stub: StubServer) -> None:
    ran = shell("jobs", "cancel", "monday")
    assert (ran.code, "cancelling" in ran.out) == (0, True)
    assert stub.asked[-1][:2] == ("POST", "/v2/jobs/monday/cancel")


def test_result(shell: Shell, stub: StubServer) -> None:
    out = shell("jobs", "result", "monday").out
    assert out.startswith("1,000 rows in, 999 predicted, 1 dead, in 2.5 s\n")
    assert "part-1.csv" in out
    assert f"curl '{stub.url}/v2/jobs/monday/result?file=all'" in out
    stub.answers["GET /v2/jobs/monday/result"] = (200, {**RESULT, "output": "/out"})
    assert shell("jobs", "result", "monday").out.endswith("\noutput: /out\n")
    ran = shell("jobs", "result", "a")
    assert (ran.code, "has no result" in ran.err) == (1, True)


@pytest.mark.parametrize("does", ["show", "cancel", "result"])
@pytest.mark.parametrize("job_id", ["", "monday/result"])
def test_what_is_no_id_is_not_asked_for(
    shell: Shell, stub: StubServer, does: str, job_id: str
) -> None:
    ran = shell("jobs", does, job_id)
    told = f"penstock: ID: expected a job's id, which has no '/', got '{job_id}'\n"
    assert ran == (1, "", told)
    assert stub.asked == []
