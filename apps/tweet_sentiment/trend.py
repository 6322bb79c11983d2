"""Means, rankings and trends from the board's counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from apps.tweet_sentiment.board import SUM, Cell, Counts

STEADY_PER_DAY = 0.005
"""A mean that moves less than this in a day goes nowhere: 0.15 of 2 in a month."""
_E4 = 10_000

Direction = Literal["rising", "steady", "falling"]
Order = Literal["active", "positive", "negative"]


class Line(NamedTuple):
    """Where the mean goes.

    Attributes:
        direction: in a word.
        slope_per_day: change of the mean score in a day.
    """

    direction: Direction
    slope_per_day: float


def mean_score(counts: Counts) -> float | None:
    """The mean score, -1 to 1; None: no tweets."""
    tweets = int(counts[:SUM].sum())
    return None if tweets == 0 else float(counts[SUM]) / tweets / _E4


def trend(cells: Sequence[Cell], buckets_per_day: int) -> Line | None:
    """The least-squares line through the means, weighted by tweets; None: fewer than two cells.

    Args:
        cells: hours or days with tweets in them, in order of time.
        buckets_per_day: 24 for hours, 1 for days.
    """
    if len(cells) < 2:
        return None
    counts = np.stack([cell.counts for cell in cells], axis=1).astype(np.float64)
    weights = counts[:SUM].sum(axis=0)
    days = np.array([cell.bucket for cell in cells], np.float64) / buckets_per_day
    means = counts[SUM] / weights / _E4
    days -= np.average(days, weights=weights)
    slope = float((weights * days * means).sum() / (weights * days * days).sum())
    if abs(slope) < STEADY_PER_DAY:
        return Line("steady", slope)
    return Line("rising" if slope > 0 else "falling", slope)


def ranking(totals: Counts, order: Order, min_tweets: int, limit: int) -> list[int]:
    """The numbers of the first authors.

    Args:
        totals: the four measures of every author, ``[4, authors]``.
        order: most tweets, highest mean or lowest mean first; then more tweets.
        min_tweets: authors with fewer are left out, >= 1.
        limit: at most so many.
    """
    tweets = totals[:SUM].sum(axis=0)
    enough = np.flatnonzero(tweets >= max(1, min_tweets))
    means = totals[SUM, enough] / tweets[enough]
    first = {"active": -tweets[enough], "positive": -means, "negative": means}[order]
    by_place = np.lexsort((enough, -tweets[enough], first))
    return [int(number) for number in enough[by_place[:limit]]]
