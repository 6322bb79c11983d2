"""Which kept files make room for another one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class KeptFile(msgspec.Struct, frozen=True):
    """One file of the cache.

    Attributes:
        path: where it is.
        size_bytes: its size.
        used_ns: when it was used last, wall time.
        is_in_use: whether some server's folder holds it.
    """

    path: Path
    size_bytes: int
    used_ns: int
    is_in_use: bool


def choose_victims(
    kept: Sequence[KeptFile], wanted_bytes: int, max_bytes: int
) -> list[KeptFile] | None:
    """What to remove so that ``wanted_bytes`` more fit, least recently used first.

    Laws: nothing in use is chosen; no more is chosen than is needed in that order.

    Returns:
        What to remove; None: it does not fit however much is removed.
    """
    excess_bytes = sum(file.size_bytes for file in kept) + wanted_bytes - max_bytes
    victims: list[KeptFile] = []
    for file in sorted(kept, key=lambda file: (file.used_ns, str(file.path))):
        if excess_bytes <= 0:
            break
        if not file.is_in_use:
            victims.append(file)
            excess_bytes -= file.size_bytes
    return victims if excess_bytes <= 0 else None
