"""The ``Host`` header: what a request must say of it. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

_HOST = re.compile(rb"(\[[0-9a-fA-Fv:.]+\]|[\w.~!$&'()*+,;=%-]*)(:\d*)?", re.ASCII)


def host_fault(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> str | None:
    """Why a request must be refused for its ``Host``; None: it need not be.

    HTTP/1.1 demands one; nobody may send two, or one that is no host and port.

    Args:
        headers: names in lower case, and values, as they came.
        http_version: ``1.0`` or ``1.1``.

    Source: RFC 9112, section 3.2.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) == 1:
        return None if _is_host(hosts[0]) else "the header 'Host' is no host and port"
    if hosts:
        return f"expected one header 'Host', got {len(hosts)}"
    return "HTTP/1.1 needs the header 'Host'" if http_version == "1.1" else None


@functools.lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None
