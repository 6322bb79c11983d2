"""Paths, bodies and statuses of the jobs API; and its document."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from penstock.core.errors import FailedPrecondition, InvalidArgument, NotFound, TooLarge
from penstock.server.exchange import Answer
from penstock.server.jobs_api.job_routes import answer_jobs
from penstock.server.jobs_api.openapi_paths import job_paths, job_schemas
from penstock.server.routes import allowed_methods
from tests.unit.server.jobs_api.fake_desk import FakeDesk


async def ask(desk: FakeDesk, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    told = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return await answer_jobs(desk, method, [part for part in path.split("/") if part], body, told)


async def test_a_job_is_accepted_and_its_place_is_told() -> None:
    desk = FakeDesk()
    answer = await ask(
        desk, "POST", "", b'{"model": "m"}', idempotency_key="k", x_penstock_actor="ann"
    )
    assert (answer.status, answer.headers) == (202, ((b"location", b"/v2/jobs/a"),))
    assert desk.calls == [("submit", {"model": "m"}, "k", "ann")]
    desk.is_new = False
    assert (await ask(desk, "POST", "", b"{}")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("GET", "", ("list",)),
        ("GET", "a", ("show", "a")),
        ("DELETE", "a", ("delete", "a", "HTTP")),
        ("POST", "a/cancel", ("cancel", "a", "HTTP")),
        ("GET", "a/result", ("result", "a")),
    ],
)
async def test_each_path_asks_for_one_thing(method: str, path: str, call: tuple[Any, ...]) -> None:
    desk = FakeDesk()
    answer = await ask(desk, method, path)
    assert answer.status == 200
    assert json.loads(answer.body)
    assert desk.calls == [call]
    desk.error = FailedPrecondition("not in this state")
    assert (await ask(desk, method, path)).status == 409
    desk.error = NotFound("none")
    with pytest.raises(NotFound):
        await ask(desk, method, path)


@pytest.mark.parametrize("content_type", ["text/csv", "application/octet-stream"])
async def test_a_file_is_no_job(content_type: str) -> None:
    with pytest.raises(InvalidArgument, match=r"uploaded to /v2/jobs\?model="):
        await ask(FakeDesk(), "POST", "", b"x\n1\n", content_type=content_type)


@pytest.mark.parametrize("body", [b"[]", b"x", b'"text"'])
async def test_a_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        await ask(FakeDesk(), "POST", "", body)


async def test_a_job_of_too_many_bytes_is_not_kept() -> None:
    desk = FakeDesk()
    with pytest.raises(TooLarge, match="262144"):
        await ask(desk, "POST", "", b'{"name": "%s"}' % (b"x" * 262144))
    assert desk.calls == []


async def test_what_curl_sends_by_itself_is_taken() -> None:
    told = "application/x-www-form-urlencoded"
    assert (await ask(FakeDesk(), "POST", "", b"{}", content_type=told)).status == 202


def test_the_document_has_every_path_with_its_methods() -> None:
    found = {
        path: {name.upper() for name in item if name != "parameters"}
        for path, item in job_paths().items()
    }
    assert len(found) == 4
    for path, methods in found.items():
        segments = path.removeprefix("/").replace("{id}", "a").split("/")
        assert allowed_methods(segments) == methods, path


def test_every_reference_of_the_document_leads_somewhere() -> None:
    text = json.dumps([job_paths(), job_schemas()])
    found = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert found <= {*job_schemas(), "Error"}
    assert {"JobAnswer", "JobList", "JobResult", "JobProgress"} <= found
