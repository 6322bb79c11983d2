"""Progress: how far a job is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Progress(NamedTuple):
    """How far a job is; those of earlier runs are counted.

    Attributes:
        splits: how many the input has.
        splits_done: how many of them have their part in the output.
        rows: that came to their end.
        rows_dead: of these, how many as dead letters.
        rows_before: of these, how many in earlier runs.
        rows_settled: of these, how many of splits that are done.
    """

    splits: int
    splits_done: int
    rows: int
    rows_dead: int
    rows_before: int = 0
    rows_settled: int = 0


OnProgress: TypeAlias = Callable[[Progress], None]
"""Told a few times a second, on a thread of its own; it must not raise."""
