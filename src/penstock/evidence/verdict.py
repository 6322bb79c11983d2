"""Verdict: what evidence says, and the interval it says it with."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple


class Verdict(enum.StrEnum):
    """What a gate answers. The third is an answer too: it neither promotes nor rolls back."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    NEED_MORE_DATA = "need more data"


class Interval(NamedTuple):
    """Where a value lies, at a level that holds at every look at once.

    Attributes:
        low, high: the bounds; infinite where nothing is known.
        estimate: the best guess, within the bounds; NaN: there is none.
    """

    low: float = -math.inf
    high: float = math.inf
    estimate: float = math.nan
