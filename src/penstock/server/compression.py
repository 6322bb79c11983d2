"""Content encodings, both ways: gzip and deflate, bounded when they unpack."""

from __future__ import annotations

import zlib

from penstock.core.errors import InvalidArgument, TooLarge, UnsupportedEncoding

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_RAW_DEFLATE = -15

REQUEST_ENCODINGS = (*_WINDOW_BITS, "identity")
"""What a request's body may be packed as."""

_LEVEL = 1
_STEP_BYTES = 64 * 1024


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Unpack a request body.

    Args:
        body: what came.
        encoding: the ``Content-Encoding`` header; ``identity`` and "" mean it is plain.
        max_bytes: the most it may unpack to.

    Raises:
        TooLarge: it unpacks to more; nothing beyond the limit is ever held.
        InvalidArgument: it is corrupt or cut short.
        UnsupportedEncoding: another encoding.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    bits = _WINDOW_BITS.get(name)
    if bits is None:
        known = ", ".join(REQUEST_ENCODINGS)
        raise UnsupportedEncoding(f"Content-Encoding '{name[:64]}' is not one of {known}")
    if name == "deflate" and (body[:1] != b"\x78" or int.from_bytes(body[:2]) % 31):
        bits = _RAW_DEFLATE
    unpacker = zlib.decompressobj(wbits=bits)
    parts: list[bytes] = []
    left_bytes = max_bytes
    for start in range(0, len(body), _STEP_BYTES):
        packed = body[start : start + _STEP_BYTES]
        while packed:
            if unpacker.eof:
                unpacker = _next_member(name, bits)
            try:
                parts.append(unpacker.decompress(packed, left_bytes + 1))
            except zlib.error as err:
                raise InvalidArgument(f"the body is no valid {name} data: {err}") from err
            left_bytes -= len(parts[-1])
            if left_bytes < 0:
                raise TooLarge(f"the body unpacks to more than the limit of {max_bytes} bytes")
            packed = unpacker.unused_data
    if not unpacker.eof:
        raise InvalidArgument(f"the {name} data of the body is cut short")
    return b"".join(parts)


def choose_encoding(accept: str) -> str:
    """The encoding of the answer.

    Args:
        accept: the ``Accept-Encoding`` header.

    Returns:
        ``gzip`` or ``deflate``, whichever is liked better, or "" where neither is named.

    Source: RFC 9110, section 12.5.3. A star alone asks for nothing special.
    """
    best, best_weight = "", 0.0
    for item in accept.lower().split(","):
        name, _, parameter = item.strip().partition(";")
        weight = _weight(parameter)
        if name.strip() in _WINDOW_BITS and weight > best_weight:
            best, best_weight = name.strip(), weight
    return best


def compress(body: bytes, encoding: str) -> bytes:
    """Pack an answer's body as ``gzip`` or ``deflate``."""
    packer = zlib.compressobj(_LEVEL, wbits=_WINDOW_BITS[encoding])
    return packer.compress(body) + packer.flush()


def _next_member(name: str, bits: int) -> zlib._Decompress:
    """What unpacks the data behind the end of some: gzip may go on (RFC 1952, section 2.2)."""
    if name != "gzip":
        raise InvalidArgument(f"the {name} data of the body is followed by more bytes")
    return zlib.decompressobj(wbits=bits)


def _weight(parameter: str) -> float:
    key, _, value = parameter.strip().partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
