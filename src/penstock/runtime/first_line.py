"""What a framework's error says, in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of its text; its class's name where it has none."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
