"""HttpFrame: what every HTTP exchange has around it. Pure ASGI: it costs microseconds."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.tweet_sentiment.api.problems import internal, problem

_log = logging.getLogger("tweet_sentiment.api")
MAX_BODY_BYTES = 8 * 1024 * 1024
"""A thousand long texts, and some."""
_TOO_LARGE = f"At most {MAX_BODY_BYTES} bytes are read."
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
]


class HttpFrame:
    """Gives each request an id, each response its process time and safe headers.

    ``scope["request_id"]`` is the client's ``X-Request-ID`` where it is sane. An error that
    nobody caught becomes a problem document; its cause goes to the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One exchange."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope["request_id"] = request_id
        has_begun = False

        async def framed(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                took_s = f"{time.perf_counter() - started:.6f}".encode()
                message["headers"] = [
                    *message["headers"],
                    *_SAFE,
                    (b"x-request-id", request_id.encode()),
                    (b"x-process-time", took_s),
                ]
            await send(message)

        try:
            if _content_length(scope) > MAX_BODY_BYTES:
                refused = problem(Request(scope), "too-large", _TOO_LARGE)
                await refused(scope, receive, framed)
            else:
                await self._app(scope, _bounded(receive), framed)
        except Exception:  # the edge: a bug of ours is a 500, and logged
            _log.exception("request=%s failed", request_id)
            if has_begun:
                raise
            await internal(Request(scope))(scope, receive, framed)


def _bounded(receive: Receive) -> Receive:
    """Ends a body that grows beyond the bound without having said so."""
    num_bytes = 0

    async def bounded() -> Message:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MAX_BODY_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return bounded


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex
