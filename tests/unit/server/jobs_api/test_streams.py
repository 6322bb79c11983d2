"""Requests of jobs with a query, through the application: bodies that come and go in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from penstock.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    PenstockError,
    TooLarge,
    Unsupported,
)
from penstock.server.exchange import Limits
from penstock.server.http import HttpApp
from penstock.server.jobs_api.streams import read_query
from tests.unit.server.jobs_api.fake_desk import FakeDesk

UPLOAD = "model=m&format=csv"


class FakeService:
    """What the application needs of a ModelService."""

    def __init__(self, desk: FakeDesk | None) -> None:
        from penstock.core.clock import SystemClock
        from penstock.telemetry.stats import EdgeStats

        self.clock = SystemClock()
        self.edge = EdgeStats()
        self.is_draining = False
        self._desk = desk

    def job_desk(self) -> FakeDesk:
        if self._desk is None:
            raise Unsupported("no jobs here: jobs.folder")
        return self._desk


class Client:
    """One request over ASGI; sends its pieces, then hangs up or waits."""

    def __init__(self, *pieces: bytes, hangs_up: bool = False) -> None:
        self.pieces = list(pieces)
        self.hangs_up = hangs_up
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self.pieces:
            piece = self.pieces.pop(0)
            more = bool(self.pieces) or self.hangs_up
            return {"type": "http.request", "body": piece, "more_body": more}
        if self.hangs_up:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(one["body"] for one in self.sent[1:])


async def ask(
    desk: FakeDesk | None,
    client: Client,
    method: str = "POST",
    path: str = "/v2/jobs",
    query: str = UPLOAD,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
) -> Client:
    told = {"host": "x", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in told.items()],
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
    }
    service: Any = FakeService(desk)
    app = HttpApp(service, lambda: None, Limits(body_timeout_s=timeout_s))  # type: ignore[arg-type, return-value]
    await app(scope, client.receive, client.send)
    return client


async def test_an_upload_reaches_the_desk_in_its_pieces() -> None:
    desk = FakeDesk()
    headers = {"idempotency-key": "a", "x-penstock-actor": "ann", "content-length": "6"}
    client = await ask(desk, Client(b"x\n", b"", b"1\n2\n"), headers=headers)
    assert client.status == 202
    assert (b"location", b"/v2/jobs/a") in client.sent[0]["headers"]
    assert json.loads(client.body)["id"] == "a"
    (found,) = desk.uploads
    assert found == ({"model": "m", "format": "csv"}, "", 6, [b"x\n", b"1\n2\n"], "a", "ann")


async def test_how_an_upload_is_packed_is_told_and_left_alone() -> None:
    desk = FakeDesk()
    await ask(desk, Client(b"\x1f\x8b"), headers={"content-encoding": "GZip"})
    await ask(desk, Client(b"x"), headers={"content-encoding": "identity"})
    assert [one[1] for one in desk.uploads] == ["gzip", ""]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooLarge("large"), 413),
        (InvalidArgument("wrong"), 400),
        (FailedPrecondition("another"), 409),
        (RuntimeError("a bug of ours"), 500),
    ],
)
async def test_a_refusal_is_an_answer(error: Exception, status: int) -> None:
    desk = FakeDesk()
    desk.error = error
    client = await ask(desk, Client(b"x"))
    assert client.status == status
    if isinstance(error, PenstockError):
        assert json.loads(client.body)["error"] == error.message
    else:
        assert b"a bug of ours" not in client.body


async def test_a_client_that_hangs_up_gets_no_answer_and_the_desk_hears_of_it() -> None:
    desk = FakeDesk()
    client = await ask(desk, Client(b"x", hangs_up=True))
    assert client.sent == []
    assert desk.uploads == []


async def test_a_client_that_sends_no_more_is_not_waited_for() -> None:
    desk = FakeDesk()

    class Stalls(Client):
        async def receive(self) -> dict[str, Any]:
            if self.pieces:
                return {"type": "http.request", "body": self.pieces.pop(), "more_body": True}
            return await super().receive()

    client = await ask(desk, Stalls(b"x"), timeout_s=0.01)
    assert client.status == 504
    assert "within 0.01 seconds" in json.loads(client.body)["error"]


async def test_a_download_goes_out_in_its_pieces() -> None:
    desk = FakeDesk()
    client = await ask(desk, Client(), "GET", "/v2/jobs/a/result", "file=all")
    headers = dict(client.sent[0]["headers"])
    assert (client.status, client.body) == (200, b"onetwo")
    assert (headers[b"content-length"], headers[b"content-type"]) == (b"6", b"text/csv")
    assert b"x-request-id" in headers
    assert [one.get("more_body") for one in client.sent[1:]] == [True, True, None]
    assert desk.downloads == [("a", "all")]


async def test_a_client_that_leaves_in_mid_download_ends_it() -> None:
    desk = FakeDesk()
    desk.endless = True
    client = Client(hangs_up=True)
    async with asyncio.timeout(5):
        await ask(desk, client, "GET", "/v2/jobs/a/result", "file=all")
    assert client.status == 200


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/v2/jobs", "state=done", 404),
        ("GET", "/v2/jobs/a", "file=x", 404),
        ("GET", "/v2/jobs/a/result", "file=x&more=1", 404),
        ("POST", "/v2/jobs/a/result", "file=x", 404),
        ("POST", "/v2/jobsx", UPLOAD, 404),
        ("POST", "/v2/jobs", "model", 400),
        ("POST", "/v2/jobs", "model=a&model=b", 400),
        ("POST", "/v2/jobs", "model=%ff", 400),
        ("POST", "/v2/jobs", "&".join(f"a{n}=1" for n in range(300)), 400),
    ],
)
async def test_other_queries_are_refused(method: str, path: str, query: str, status: int) -> None:
    desk = FakeDesk()
    assert (await ask(desk, Client(b"x"), method, path, query)).status == status
    assert desk.uploads == []


async def test_a_server_that_takes_no_jobs_says_so() -> None:
    client = await ask(None, Client(b"x"))
    assert (client.status, b"jobs.folder" in client.body) == (501, True)


def test_a_query_is_names_and_values() -> None:
    assert read_query(b"a=1&b=x%20y&c=") == {"a": "1", "b": "x y", "c": ""}
