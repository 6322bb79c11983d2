"""Which batch size is the fastest: powers of two, tried on the first rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from penstock.core.clock import Clock
from penstock.core.errors import ModelFailed, PenstockError

FIRST_ROWS: Final = 32
_GAIN = 1.03
_LEAST_BATCH_S = 0.01
_LEAST_S = 0.25
_MOST_S = 2.0

Try = Callable[[int, int], PenstockError | MemoryError | None]
"""Predicts the sample's rows ``[start, stop)`` as one batch; the error, where it failed."""


def next_size(rates: Mapping[int, float], largest: int) -> int | None:
    """The size to try next; None: enough is known. Pure.

    Upwards from 32 until two doublings in a row have gained less than 3 %, and a batch takes
    10 ms; downwards where the larger ones are no better.

    Args:
        rates: rows a second, by the sizes that were tried; 0: it failed.
        largest: the most rows of a batch, >= 1.
    """
    if not rates:
        return min(FIRST_ROWS, largest)
    best = max(rates.values())
    top, low = max(rates), min(rates)
    upper = [size for size in sorted(rates)[-2:] if size > FIRST_ROWS]
    is_flat = len(upper) == 2 and all(
        rates[size] < _GAIN * max(rates[less] for less in rates if less < size) for size in upper
    )
    is_long = rates[top] > 0 and top / rates[top] >= _LEAST_BATCH_S
    if top * 2 <= largest and rates[top] > 0 and not (is_flat and is_long):
        return top * 2
    if low > 1 and (rates[low] * _GAIN >= best or best == 0):
        return low // 2
    return None


def best_size(rates: Mapping[int, float]) -> int:
    """The smallest size that is within 3 % of the fastest (less memory, less padding), but for
    batches under 10 ms: there what the job does for each of them would tell. Pure.
    """
    best = max(rates.values())
    fast = [size for size, rate in rates.items() if rate * _GAIN >= best]
    long = [size for size in fast if size >= rates[size] * _LEAST_BATCH_S]
    return min(long, default=max(fast))


def measure_sizes(try_rows: Try, num_rows: int, largest: int, clock: Clock) -> dict[int, float]:
    """Try sizes on the same rows.

    Args:
        try_rows: see ``Try``.
        num_rows: how many rows the sample has, >= 1.
        largest: the most rows of a batch; no more than the sample has are tried.
        clock: whose time it takes.

    Returns:
        Rows a second by size, with at least one size; 0: no batch of it went through.
    """
    largest = max(1, min(largest, num_rows))
    first = min(FIRST_ROWS, largest)
    try_rows(0, first)  # the first call of a model pays for what later ones find ready
    rows = _rows_for(try_rows, num_rows, first, clock)
    rates: dict[int, float] = {}
    while (size := next_size(rates, largest)) is not None:
        rates[size] = _rate(try_rows, max(rows, size), size, clock)
    return rates


def _rows_for(try_rows: Try, num_rows: int, size: int, clock: Clock) -> int:
    """How many of the sample's rows are enough to tell sizes apart."""
    started_ns = clock.monotonic_ns()
    done = 0
    while done + size <= num_rows and _seconds(clock, started_ns) < _LEAST_S:
        try_rows(done, done + size)
        done += size
    return max(done, 1)


def _rate(try_rows: Try, rows: int, size: int, clock: Clock) -> float:
    started_ns = clock.monotonic_ns()
    done = passed = 0
    spent_s = 0.0
    while done + size <= rows and _seconds(clock, started_ns) < _MOST_S:
        begun_ns = clock.monotonic_ns()
        error = try_rows(done, done + size)
        done += size
        if error is None:
            spent_s += _seconds(clock, begun_ns)
            passed += size
        elif not isinstance(error, ModelFailed):
            return 0.0  # memory, or worse: the size is at fault, not a row
    return passed / max(spent_s, 1e-9) if passed else 0.0


def _seconds(clock: Clock, since_ns: int) -> float:
    return (clock.monotonic_ns() - since_ns) / 1e9
