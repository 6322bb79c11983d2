"""What an engine says of an error, as far as people need it."""

from __future__ import annotations


def first_line(err: BaseException) -> str:
    """The first line of an error's text, without the stack that engines append; never empty."""
    text = str(err).strip() or type(err).__name__
    return text.splitlines()[0]
