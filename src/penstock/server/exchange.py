"""One HTTP request as the routes see it: its headers, its body within limits, its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, TypeAlias

import msgspec

from penstock.core.errors import Cancelled, InvalidArgument, TooLarge
from penstock.server.compression import decompress

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = "dict[bytes, bytes]"

JSON = b"application/json"
_MAX_LENGTH_DIGITS = 18
_UNPACK_HERE_BYTES = 16 * 1024
"""What unpacks to 16 MiB at most: ten milliseconds."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one HTTP request.

    Attributes:
        max_body_bytes: the most a body may take, as it came and unpacked.
        max_header_bytes: the most a request's line and headers may take.
        header_timeout_s: how long a client may take to send them, in seconds.
        body_timeout_s: how long a client may take to send its body, in seconds.
        write_timeout_s: how long a client may go without reading more of its answer, in seconds.
        keep_alive_s: how long a connection may be idle between two requests, in seconds.
    """

    max_body_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1024 * 1024 * 1024
    max_header_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024
    header_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    body_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    write_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    keep_alive_s: Annotated[float, msgspec.Meta(gt=0)] = 75.0


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer.

    Attributes:
        status: HTTP status.
        body: the bytes.
        content_type: its type.
        headers: further headers.
        close: whether the connection ends with it.
    """

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False


class Reply(msgspec.Struct, frozen=True):
    """An answer as it goes out.

    Attributes:
        status: HTTP status.
        headers: all of them but what belongs to the connection.
        body: the bytes, compressed where the client takes that.
        close: whether the connection ends with it.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    close: bool = False


def json_answer(value: object, status: int = 200) -> Answer:
    """An answer of JSON."""
    return Answer(status, msgspec.json.encode(value))


async def read_body(headers: Headers, receive: Receive, limits: Limits) -> bytes:
    """Take in a request's body, packed as it is.

    Raises:
        TooLarge: it crosses the limit, announced or as it comes.
        Cancelled: the client went away before it had sent everything.
    """
    announced = headers.get(b"content-length", b"")
    length = int(announced) if announced.isdigit() else -1
    if length > limits.max_body_bytes:
        raise _too_large(length, limits)
    message = await _next_part(receive)
    body: bytes = message.get("body", b"")
    if message.get("more_body") and len(body) != length:  # all of it is here: do not ask again
        body = await _rest_of_body(body, receive, limits)
    return body


async def unpack(headers: Headers, body: bytes, limits: Limits) -> bytes:
    """A body as the client meant it; unpacked off the event loop where that may take long.

    Raises:
        TooLarge: it crosses the limit, as it came or unpacked.
        InvalidArgument: it is corrupt.
        UnsupportedEncoding: it is packed in a way that is not known here.
    """
    if len(body) > limits.max_body_bytes:
        raise _too_large(len(body), limits)
    encoding = headers.get(b"content-encoding")
    if encoding is None:
        return body
    name = encoding.decode("latin-1")
    if len(body) <= _UNPACK_HERE_BYTES:
        return decompress(body, name, limits.max_body_bytes)
    return await asyncio.to_thread(decompress, body, name, limits.max_body_bytes)


def header_length(headers: Headers) -> int | None:
    """The ``Inference-Header-Content-Length`` header; None: there is none.

    Raises:
        InvalidArgument: it is no number.
    """
    text = headers.get(b"inference-header-content-length")
    if text is None:
        return None
    if not text.strip().isdigit() or len(text) > _MAX_LENGTH_DIGITS:
        raise InvalidArgument(
            "header 'Inference-Header-Content-Length' should be a number of bytes, "
            f"got '{text[:32].decode('latin-1')}'"
        )
    return int(text)


async def _next_part(receive: Receive) -> Message:
    message = await receive()
    if message["type"] != "http.request":
        raise Cancelled("the client went away before its request was complete")
    return message


async def _rest_of_body(first: bytes, receive: Receive, limits: Limits) -> bytes:
    parts, size = [first], len(first)
    while True:
        message = await _next_part(receive)
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limits.max_body_bytes:
            raise _too_large(size, limits)
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large(size: int, limits: Limits) -> TooLarge:
    return TooLarge(
        f"the body of {size} bytes exceeds the maximum allowed input size "
        f"of {limits.max_body_bytes} bytes"
    )
