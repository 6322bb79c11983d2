"""The header fields of answers: those of every call, prepared once, and those of a refusal."""

from __future__ import annotations

from urllib.parse import quote

from penstock.core.errors import PenstockError
from penstock.dialects.open_inference.errors import GrpcStatus, grpc_status
from penstock.server.grpc_api.call import status_details
from penstock.server.grpc_http2.library import Headers
from penstock.server.grpc_http2.request_head import ENCODINGS

UNIMPLEMENTED = GrpcStatus(12, "UNIMPLEMENTED")
_INVALID = GrpcStatus(3, "INVALID_ARGUMENT")
_HTTP_OK = 200
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_TYPE = (b"content-type", b"application/grpc")
_ACCEPT = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())


class StandingHeaders:
    """The fields that every good answer has.

    Attributes:
        head: in front of the messages.
        success: behind them.
    """

    def __init__(self) -> None:
        self.head = Headers([(b":status", b"200"), _TYPE, _ACCEPT], is_lasting=True)
        self.success = Headers([(b"grpc-status", b"0")], is_lasting=True)


def error_trailers(error: PenstockError) -> Headers:
    """An error as it goes behind messages."""
    return Headers(_status(grpc_status(error), error.message))


def error_answer(error: PenstockError) -> Headers:
    """An error as the whole answer (the protocol's "Trailers-Only")."""
    return status_answer(grpc_status(error), error.message)


def status_answer(status: GrpcStatus, text: str, http_status: int = _HTTP_OK) -> Headers:
    """A status as the whole answer."""
    head = [(b":status", b"%d" % http_status), _TYPE, _ACCEPT]
    return Headers([*head, *_status(status, text)])


def http_answer(http_status: int, text: str) -> Headers:
    """What is told to who does not speak gRPC."""
    return status_answer(_INVALID, text, http_status)


def _status(status: GrpcStatus, text: str) -> list[tuple[bytes, bytes]]:
    message = quote(status_details(text), safe=_PLAIN)
    return [(b"grpc-status", b"%d" % status.code), (b"grpc-message", message.encode("ascii"))]
