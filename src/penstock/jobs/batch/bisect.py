"""Which rows of a batch make it fail. Pure but for what it is given to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from penstock.core.errors import PenstockError

T = TypeVar("T")


class Answered(NamedTuple, Generic[T]):
    """Rows that were answered together.

    Attributes:
        start, stop: which rows.
        answer: what they were answered with.
    """

    start: int
    stop: int
    answer: T


class Guilty(NamedTuple):
    """A row that fails by itself.

    Attributes:
        row: its number.
        error: what it fails with.
    """

    row: int
    error: PenstockError


def bisect(
    rows: range, error: PenstockError, attempt: Callable[[int, int], T | PenstockError]
) -> tuple[list[Answered[T]], list[Guilty]]:
    """Halve rows that fail together until those that fail alone are known.

    Law: each row is in one of the answers or is guilty, and is answered at most once; both lists
    are in the order of rows. ``k`` guilty rows of ``n`` cost about ``2 k log2 n`` attempts; the
    same rows and answers give the same attempts.

    Args:
        rows: consecutive rows that were tried together and failed.
        error: what they failed with.
        attempt: tries the rows ``[start, stop)``; gives their answer, or the error that may be one
            row's fault. What it raises ends the search.
    """
    answered: list[Answered[T]] = []
    guilty: list[Guilty] = []
    untried: list[range] = []

    def condemn(failed: range, why: PenstockError) -> None:
        if len(failed) == 1:
            guilty.append(Guilty(failed.start, why))
            return
        middle = failed.start + len(failed) // 2
        untried.extend((range(middle, failed.stop), range(failed.start, middle)))

    condemn(rows, error)
    while untried:
        part = untried.pop()
        answer = attempt(part.start, part.stop)
        if isinstance(answer, PenstockError):
            condemn(part, answer)
        else:
            answered.append(Answered(part.start, part.stop, answer))
    return answered, guilty
