"""Uploads and downloads: bodies that are never whole in memory. Requests of jobs with a query."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

from penstock.core.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from penstock.server.client_watch import late_body
from penstock.server.control_api.actor import actor_of
from penstock.server.exchange import Answer, Headers, Limits, Receive, Scope, Send
from penstock.server.jobs_api.desk import Download, JobDesk, Upload
from penstock.server.jobs_api.job_routes import conflict, key_of, submitted

_MAX_QUERY_FIELDS = 200


async def answer_with_query(
    desk: JobDesk, scope: Scope, receive: Receive, headers: Headers, limits: Limits
) -> Answer | Download:
    """Answer a request below ``/v2/jobs`` that has a query.

    Args:
        desk: the operations.
        scope: the request, as ASGI tells it.
        receive: gives the pieces of its body.
        headers: the request's, names in lower case.
        limits: how long a client may let us wait for a piece.

    Raises:
        PenstockError: the caller turns it into an error answer.
    """
    query = read_query(scope["query_string"])
    path: list[str] = scope["path"].split("/")[2:]
    method: str = scope["method"]
    try:
        match path:
            case ["jobs"] if method == "POST":
                told = headers.get(b"content-length", b"")
                encoding = headers.get(b"content-encoding", b"").decode("latin-1").lower()
                upload = Upload(
                    query,
                    "" if encoding == "identity" else encoding,
                    int(told) if told.isdigit() else -1,
                    _pieces(receive, limits.body_timeout_s),
                )
                return submitted(await desk.upload(upload, key_of(headers), actor_of(headers)))
            case ["jobs", job_id, "result"] if method in ("GET", "HEAD") and [*query] == ["file"]:
                return await desk.download(job_id, query["file"])
            case _:
                raise NotFound(
                    "Not Found: of jobs, only POST /v2/jobs?model=NAME&format=FORMAT and "
                    "GET /v2/jobs/ID/result?file=NAME take a query"
                )
    except FailedPrecondition as error:
        return conflict(error)


async def send_download(download: Download, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    """Give a download to ASGI, a piece at a time. One that breaks off ends the connection."""
    out = [
        *headers,
        (b"content-type", download.content_type.encode()),
        (b"content-length", b"%d" % download.length),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": out})
    async for piece in download.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def read_query(raw: bytes) -> dict[str, str]:
    """The fields of a query.

    Raises:
        InvalidArgument: it is none, or a name is there twice.
    """
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_QUERY_FIELDS,
        )
    except ValueError as err:
        raise InvalidArgument(f"the query cannot be read: {str(err)[:100]}") from err
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise InvalidArgument(f"the query has '{twice[:64]}' twice")
    return fields


async def _pieces(receive: Receive, timeout_s: float) -> AsyncIterator[bytes]:
    """A body as it comes.

    Raises:
        Cancelled: the client went away.
        DeadlineExceeded: nothing comes for so long.
    """
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                message = await receive()
        except TimeoutError as err:
            raise late_body(timeout_s) from err
        if message["type"] != "http.request":
            raise Cancelled("the client went away before its upload was complete")
        body: bytes = message.get("body", b"")
        if body:
            yield body
        if not message.get("more_body"):
            return
