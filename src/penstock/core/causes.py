"""What an error came of."""

from __future__ import annotations

from collections.abc import Iterator


def causes_of(err: BaseException) -> Iterator[BaseException]:
    """An error and everything it came of, each once."""
    cause: BaseException | None = err
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
