"""Board: every author's counts per hour and day, in columns: one per hour and one per day.

A range of time is whole days in the middle and whole hours at its ends, so a question costs what
the range and the authors cost, and nothing for the tweets behind them (benchmarks/authors.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from apps.tweet_sentiment.record import Line

HOUR_S = 3_600
DAY_S = 86_400
HOURS_PER_DAY = 24
NUM_MEASURES = 4
"""Negative, neutral, positive tweets, and the sum of their scores in ten-thousandths."""
SUM = 3
"""Position of the sum."""

Counts = np.ndarray


class Cell(NamedTuple):
    """What one author wrote in one hour or day.

    Attributes:
        bucket: hours or days since 1970, UTC.
        counts: the four measures.
    """

    bucket: int
    counts: Counts


class _Hour:
    """One hour: rows of the few authors who wrote, and their measures."""

    __slots__ = ("_authors", "_counts", "_rows")

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._authors = np.zeros(2, np.int64)
        self._counts = np.zeros((NUM_MEASURES, 2), np.int64)

    def of(self, author: int) -> Counts | None:
        row = self._rows.get(author)
        return None if row is None else self._counts[:, row]

    def room_for(self, author: int) -> Counts:
        row = self._rows.get(author)
        if row is None:
            row = self._rows[author] = len(self._rows)
            if row == len(self._authors):
                self._authors = np.concatenate([self._authors, np.zeros(row, np.int64)])
                self._counts = np.hstack([self._counts, np.zeros_like(self._counts)])
            self._authors[row] = author
        return self._counts[:, row]

    def add_to(self, totals: Counts) -> None:
        size = len(self._rows)
        totals[:, self._authors[:size]] += self._counts[:, :size]


class _Day:
    """One day: a place for every author, whether they wrote or not, so that days add up quickly."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = np.zeros((NUM_MEASURES, 16), np.int64)

    def of(self, author: int) -> Counts | None:
        return self._counts[:, author] if author < self._counts.shape[1] else None

    def room_for(self, author: int) -> Counts:
        width = self._counts.shape[1]
        if author >= width:
            more = np.zeros((NUM_MEASURES, max(width, author + 1 - width)), np.int64)
            self._counts = np.hstack([self._counts, more])
        return self._counts[:, author]

    def add_to(self, totals: Counts) -> None:
        width = min(totals.shape[1], self._counts.shape[1])
        totals[:, :width] += self._counts[:, :width]


class Board:
    """Counts by author, hour and day. A view: the store is the truth.

    Memory: 32 bytes for each author and day (1,000 authors over a year: 12 MB), about 150 for each
    author and hour with a tweet in it.

    Attributes:
        handles: each author's handle in the author's own letters; their position is the author's
            number here.

    Concurrency: one thread. Times are seconds since 1970, cut to whole hours.
    """

    def __init__(self) -> None:
        self.handles: list[str] = []
        self._numbers: dict[str, int] = {}
        self._days: dict[int, _Day] = {}
        self._hours: dict[int, _Hour] = {}

    @property
    def days(self) -> tuple[int, int] | None:
        """The first and last day on which anybody wrote, since 1970; None: nobody did."""
        return (min(self._days), max(self._days)) if self._days else None

    def number(self, author: str) -> int | None:
        """An author's number, by handle in any letters; None: never heard of."""
        return self._numbers.get(author.lower())

    def add(self, line: Line) -> None:
        """Count one tweet."""
        hour, day = line.created_s // HOUR_S, line.created_s // DAY_S
        for measure, amount in ((line.label, 1), (SUM, line.score_e4)):
            self.add_to(line.author, "h", hour, measure, amount)
            self.add_to(line.author, "d", day, measure, amount)

    def add_to(self, author: str, unit: str, bucket: int, measure: int, amount: int) -> None:
        """Add to one measure of an author's hour (``h``) or day (``d``)."""
        column: _Hour | _Day
        if unit == "h":
            column = self._hours.get(bucket) or self._hours.setdefault(bucket, _Hour())
        else:
            column = self._days.get(bucket) or self._days.setdefault(bucket, _Day())
        column.room_for(self._number(author))[measure] += amount

    def forget(self, author: str) -> None:
        """Set an author's counts to nothing."""
        number = self.number(author)
        if number is None:
            return
        for unit in "hd":
            for column in self._unit(unit).values():
                counts = column.of(number)
                if counts is not None:
                    counts[:] = 0

    def totals(self, since_s: int, until_s: int) -> Counts:
        """The four measures of every author in a range: ``[4, authors]`` int64."""
        totals = np.zeros((NUM_MEASURES, len(self.handles)), np.int64)
        for column in self._columns(since_s, until_s):
            column.add_to(totals)
        return totals

    def cells(self, author: int, since_s: int, until_s: int, unit: str) -> list[Cell]:
        """An author's hours or days in a range, in order of time; those without tweets left out."""
        length_s = HOUR_S if unit == "h" else DAY_S
        columns = self._unit(unit)
        found = []
        for bucket in _within(columns, since_s // length_s, -(-until_s // length_s)):
            counts = columns[bucket].of(author)
            if counts is not None and counts[:SUM].any():
                found.append(Cell(bucket, counts))
        return found

    def _number(self, author: str) -> int:
        number = self._numbers.get(author.lower())
        if number is None:
            number = self._numbers[author.lower()] = len(self.handles)
            self.handles.append(author)
        return number

    def _unit(self, unit: str) -> Mapping[int, _Hour | _Day]:
        if unit == "h":
            return self._hours
        return self._days

    def _columns(self, since_s: int, until_s: int) -> Iterator[_Hour | _Day]:
        first, last = since_s // HOUR_S, -(-until_s // HOUR_S)
        first_day, last_day = -(-first // HOURS_PER_DAY), last // HOURS_PER_DAY
        if first_day >= last_day:
            yield from (self._hours[hour] for hour in _within(self._hours, first, last))
            return
        edges = ((first, first_day * HOURS_PER_DAY), (last_day * HOURS_PER_DAY, last))
        for start, end in edges:
            yield from (self._hours[hour] for hour in _within(self._hours, start, end))
        yield from (self._days[day] for day in _within(self._days, first_day, last_day))


def _within(columns: Mapping[int, _Hour | _Day], first: int, last: int) -> list[int]:
    """The buckets from ``first`` up to ``last`` that are there, in order."""
    if last - first > len(columns):
        return sorted(bucket for bucket in columns if first <= bucket < last)
    return [bucket for bucket in range(first, last) if bucket in columns]
