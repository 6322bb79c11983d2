"""Who asks for a change, and why: texts of clients that end up in logs and histories."""

from __future__ import annotations

from collections.abc import Mapping

ACTOR_HEADER = "X-Penstock-Actor"
NOBODY = "HTTP"
OURS = frozenset({"controller", "supervisor"})
"""Who changes things without being asked: nobody else goes by these names."""

MAX_ACTOR_CHARS = 100
MAX_WHY_CHARS = 1000


def actor_of(headers: Mapping[bytes, bytes]) -> str:
    """The actor that a request names, without control characters and cut to a length.

    Law: it is never the name of a part of the server; such a one gets ``user:`` in front.

    Args:
        headers: of the request, names in lower case.

    Returns:
        ``HTTP`` where it names none.
    """
    raw = headers.get(ACTOR_HEADER.lower().encode(), b"")
    name = plain(raw.decode("utf-8", "replace"), MAX_ACTOR_CHARS) or NOBODY
    return f"user:{name}" if name.casefold() in OURS else name


def plain(text: str, max_chars: int) -> str:
    """A text as one line that can be printed, cut to a length."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * max_chars])
    return " ".join(shown.split())[:max_chars]
