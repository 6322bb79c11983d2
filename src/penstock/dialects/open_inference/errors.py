"""Neutral error codes to the wire's own: HTTP statuses, gRPC statuses, the error body."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from penstock.core.errors import ErrorCode, PenstockError


class GrpcStatus(NamedTuple):
    """A gRPC status, free of the gRPC library.

    Attributes:
        code: its number on the wire.
        name: its name, as ``grpc.StatusCode`` spells it.
    """

    code: int
    name: str


_CANCELLED = GrpcStatus(1, "CANCELLED")
_INVALID = GrpcStatus(3, "INVALID_ARGUMENT")
_DEADLINE = GrpcStatus(4, "DEADLINE_EXCEEDED")
_NOT_FOUND = GrpcStatus(5, "NOT_FOUND")
_EXHAUSTED = GrpcStatus(8, "RESOURCE_EXHAUSTED")
_UNIMPLEMENTED = GrpcStatus(12, "UNIMPLEMENTED")
_INTERNAL = GrpcStatus(13, "INTERNAL")
_UNAVAILABLE = GrpcStatus(14, "UNAVAILABLE")

HTTP_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.NOT_READY: 503,
    ErrorCode.OVERLOADED: 429,
    ErrorCode.DEADLINE_EXCEEDED: 504,
    ErrorCode.CANCELLED: 499,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED: 501,
    ErrorCode.UNSUPPORTED_ENCODING: 415,
    ErrorCode.FAILED_PRECONDITION: 503,
    ErrorCode.MODEL_FAILED: 500,
    ErrorCode.LOAD_FAILED: 500,
    ErrorCode.CONFIG_ERROR: 400,
    ErrorCode.INTERNAL: 500,
}
"""The HTTP status of each code. 499: the client closed the connection (nginx's number)."""

GRPC_STATUS: dict[ErrorCode, GrpcStatus] = {
    ErrorCode.INVALID_ARGUMENT: _INVALID,
    ErrorCode.NOT_FOUND: _NOT_FOUND,
    ErrorCode.NOT_READY: _UNAVAILABLE,
    ErrorCode.OVERLOADED: _UNAVAILABLE,
    ErrorCode.DEADLINE_EXCEEDED: _DEADLINE,
    ErrorCode.CANCELLED: _CANCELLED,
    ErrorCode.TOO_LARGE: _EXHAUSTED,
    ErrorCode.UNSUPPORTED: _UNIMPLEMENTED,
    ErrorCode.UNSUPPORTED_ENCODING: _UNIMPLEMENTED,
    ErrorCode.FAILED_PRECONDITION: _UNAVAILABLE,
    ErrorCode.MODEL_FAILED: _INTERNAL,
    ErrorCode.LOAD_FAILED: _INTERNAL,
    ErrorCode.CONFIG_ERROR: _INVALID,
    ErrorCode.INTERNAL: _INTERNAL,
}
"""The gRPC status of each code. Full queues and wrong modes are UNAVAILABLE, as in Triton."""


def http_status(error: PenstockError) -> int:
    """The HTTP status that answers this error."""
    return HTTP_STATUS[error.code]


def grpc_status(error: PenstockError) -> GrpcStatus:
    """The gRPC status that answers this error."""
    return GRPC_STATUS[error.code]


def error_body(message: str) -> bytes:
    """``{"error": "<message>"}``: the body of every REST answer that is not 200."""
    return msgspec.json.encode({"error": message.encode("utf-8", "replace").decode()})


def retry_after(error: PenstockError) -> str | None:
    """The value of the ``Retry-After`` header: whole seconds, at least 1.

    Returns:
        None where the error gives no advice and waiting does not help; an error that is
        answered by 429 or 503 and gives none says ``"1"``.
    """
    if error.retry_after_s is not None:
        return str(max(1, math.ceil(error.retry_after_s)))
    return "1" if http_status(error) in (429, 503) and error.retryable else None
