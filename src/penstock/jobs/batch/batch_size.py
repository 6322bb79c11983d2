"""Which batch size is the fastest: powers of two, tried on the first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from statistics import median
from typing import Final

from penstock.core.clock import Clock
from penstock.core.errors import ModelFailed, PenstockError

FIRST_ROWS: Final = 32
_GAIN = 1.03
_LEAST_BATCH_S = 0.025
_MOST_BATCH_S = 1.0
_LEAST_S = 0.25
_MOST_S = 1.0
_LEAST_PAIRS = 3
_MOST_PAIRS = 100

Try = Callable[[int, int], PenstockError | MemoryError | None]
"""Predicts the sample's rows ``[start, stop)`` as one batch; the error, where it failed."""


def next_size(rates: Mapping[int, float], largest: int) -> int | None:
    """The size to try next; None: enough is known. Pure.

    Upwards from 32 until two doublings in a row have gained less than 3 % and a batch takes 25 ms,
    or one has and the next batch would take over a second; downwards where no larger one is faster.

    Args:
        rates: rows a second, by the sizes that were tried; 0: it failed.
        largest: the most rows of a batch, >= 1.
    """
    if not rates:
        return min(FIRST_ROWS, largest)
    best, top, low = max(rates.values()), max(rates), min(rates)
    upper = [size for size in sorted(rates)[-2:] if size > FIRST_ROWS]
    idle = [size for size in upper if not _gained(size, rates)]
    is_enough = len(idle) == 2 and _seconds_of(top, rates) >= _LEAST_BATCH_S
    is_long = top in idle and 2 * _seconds_of(top, rates) > _MOST_BATCH_S
    if top * 2 <= largest and rates[top] > 0 and not (is_enough or is_long):
        return top * 2
    if low > 1 and rates[low] == best:
        return low // 2
    return None


def best_size(rates: Mapping[int, float]) -> int:
    """The largest of the sizes within 3 % of the fastest whose batch takes under a second, for what
    the job does for each batch is the same for any size; the smallest, where all take longer. Pure.
    """
    best = max(rates.values())
    fast = [size for size, rate in rates.items() if rate * _GAIN >= best]
    short = [size for size in fast if _seconds_of(size, rates) <= _MOST_BATCH_S]
    return max(short, default=min(fast))


def measure_sizes(try_rows: Try, num_rows: int, largest: int, clock: Clock) -> dict[int, float]:
    """Try sizes on the same rows, each in turns with its half or its double: a machine that is busy
    for a second is so for both.

    Args:
        try_rows: see ``Try``.
        num_rows: how many rows the sample has, >= 1.
        largest: the most rows of a batch; no more than the sample has are tried.
        clock: whose time it takes.

    Returns:
        Rows a second by size, with at least one size; 0: no batch of it went through.
    """
    largest = max(1, min(largest, num_rows))
    sample = _Sample(try_rows, num_rows, clock)
    try_rows(0, min(FIRST_ROWS, largest))  # the first call pays for what later ones find ready
    rates: dict[int, float] = {}
    while (size := next_size(rates, largest)) is not None:
        near = size // 2 if size // 2 in rates else size * 2
        if rates.get(near):
            rates[size] = rates[near] * sample.gain(size, near)
        else:
            rates[size] = sample.rate(size)
    return rates


class _Sample:
    """Rows on which sizes are tried."""

    def __init__(self, try_rows: Try, num_rows: int, clock: Clock) -> None:
        self._try_rows = try_rows
        self._num_rows = num_rows
        self._clock = clock

    def rate(self, size: int) -> float:
        """Rows a second; 0: no batch went through."""
        spent_s, passed = 0.0, 0
        for start in self._starts(size, most=self._num_rows // size):
            took_s = self._seconds(start, size, size)
            if took_s == inf:
                return 0.0
            if took_s is not None:
                spent_s += took_s
                passed += size
        return passed / max(spent_s, 1e-9) if passed else 0.0

    def gain(self, size: int, near: int) -> float:
        """How many times as fast a size is as another one; 0: there is no memory for it, or
        worse; 1, where every batch had a row that failed.
        """
        gains = []
        rows, turn = max(size, near), (size, near)
        for start in self._starts(rows, most=_MOST_PAIRS):
            took_s = {one: self._seconds(start, rows, one) for one in turn}
            one, other = took_s[size], took_s[near]
            if one == inf:
                return 0.0
            if one is not None and other not in (None, inf):
                gains.append(max(other, 1e-9) / max(one, 1e-9))
            turn = turn[::-1]  # the second one finds the rows in caches
        return median(gains) if gains else 1.0

    def _starts(self, span: int, most: int) -> Iterator[int]:
        """First rows of so many rows each, until they have taken long enough, from the beginning
        again after the last.
        """
        begun_ns, windows = self._clock.monotonic_ns(), self._num_rows // span
        for number in range(most):
            spent_s = (self._clock.monotonic_ns() - begun_ns) / 1e9
            if spent_s >= (_LEAST_S if number >= _LEAST_PAIRS else _MOST_S):
                return
            yield number % windows * span

    def _seconds(self, start: int, rows: int, size: int) -> float | None:
        """What rows take in batches of a size; None: a row failed; inf: the size is at fault."""
        begun_ns = self._clock.monotonic_ns()
        for first in range(start, start + rows, size):
            error = self._try_rows(first, first + size)
            if error is not None:
                return None if isinstance(error, ModelFailed) else inf
        return (self._clock.monotonic_ns() - begun_ns) / 1e9


def _seconds_of(size: int, rates: Mapping[int, float]) -> float:
    """What a batch takes; for ever, where it failed."""
    return size / rates[size] if rates[size] else inf


def _gained(size: int, rates: Mapping[int, float]) -> bool:
    return rates[size] >= _GAIN * max(rates[less] for less in rates if less < size)
