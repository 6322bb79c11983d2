"""Which files of a folder are no input. Pure."""

from __future__ import annotations

MAGIC = ("*", "?", "[")
"""What makes a pattern of a path."""


def fixed_part(pattern: str) -> str:
    """The folder that a pattern looks in: all before the first part with ``* ? [``."""
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate([*parts, "*"]) if any(m in part for m in MAGIC))
    return "/".join(parts[:fixed])


def is_hidden(path: str, folder: str, pattern: str = "") -> bool:
    """Whether a part of the path below ``folder`` begins with ``_`` or ``.``, as what jobs leave
    beside their output does. A pattern may ask for it in its own parts.

    Args:
        path: of a file, with ``/``.
        folder: where it was looked for; above it, names do not matter.
        pattern: what it was found by; "": a folder's whole content.
    """
    if pattern.rpartition("/")[2].startswith(("_", ".")):
        return False
    below = path[len(folder) :] if path.startswith(folder) else path
    return any(part.startswith(("_", ".")) for part in below.split("/") if part)
