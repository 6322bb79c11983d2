"""What a call's header fields ask for.

Source: grpc/doc/PROTOCOL-HTTP2.md. ``te: trailers`` is not insisted on, as no server does;
another value of it is refused by libnghttp2.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.errors import InvalidArgument, Unsupported

PATH, METHOD = b":path", b":method"
CONTENT_TYPE, TIMEOUT, ENCODING = b"content-type", b"grpc-timeout", b"grpc-encoding"
TRACEPARENT = b"traceparent"
WANTED = frozenset({PATH, METHOD, CONTENT_TYPE, TIMEOUT, ENCODING, TRACEPARENT})
"""The fields that are looked at; of the others those that a route names are kept, the rest is
counted and dropped, binary metadata too.
"""
WANTED_LENGTHS = frozenset(map(len, WANTED))
ENCODINGS = ("identity", "deflate", "gzip")

_TYPES = frozenset({b"application/grpc", b"application/grpc+proto"})
_UNIT_S = {72: 3600.0, 77: 60.0, 83: 1.0, 109: 1e-3, 117: 1e-6, 110: 1e-9}
"""``H``, ``M``, ``S``, ``m``, ``u`` and ``n`` as bytes."""
_MAX_DIGITS = 8


def http_refusal(fields: Mapping[bytes, bytes]) -> tuple[int, str] | None:
    """The HTTP status of what is no gRPC call, and why; None: it is one."""
    if fields.get(METHOD) != b"POST":
        return 405, "a gRPC call is a POST"
    kind = fields.get(CONTENT_TYPE, b"")
    if kind not in _TYPES and kind.partition(b";")[0].rstrip() not in _TYPES:
        text = kind[:64].decode("latin-1")
        return 415, f"content-type should be 'application/grpc', got '{text}'"
    return None


def read_timeout(fields: Mapping[bytes, bytes]) -> float | None:
    """The seconds a client gives its call; None: it does not say.

    Raises:
        InvalidArgument: what it says is no timeout.
    """
    text = fields.get(TIMEOUT)
    if text is None:
        return None
    digits, unit = text[:-1], text[-1:]
    unit_s = _UNIT_S.get(unit[0]) if unit else None
    if unit_s is None or not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise InvalidArgument(
            "grpc-timeout should be at most 8 digits and one of H, M, S, m, u, n, "
            f"got '{text[:32].decode('latin-1')}'"
        )
    return int(digits) * unit_s


def read_encoding(fields: Mapping[bytes, bytes]) -> str:
    """How a client packs its messages, one of ``ENCODINGS``.

    Raises:
        Unsupported: another way.
    """
    name = fields.get(ENCODING, b"identity").decode("latin-1")
    if name not in ENCODINGS:
        raise Unsupported(
            f"grpc-encoding '{name[:32]}' is not served; one of {', '.join(ENCODINGS)}"
        )
    return name
