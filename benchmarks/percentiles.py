"""Order statistics of latencies and of rounds, as plain functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(ordered: Sequence[float], ratio: float) -> float:
    """Return the nearest-rank percentile of values sorted ascending; `ratio` in (0, 1].

    Raises ValueError on an empty sequence.
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)]


def latency_summary_ms(latencies_s: Sequence[float]) -> dict[str, float]:
    """Return p50, p99, p99.9, mean and max in milliseconds of latencies in seconds (not empty)."""
    ordered = sorted(latencies_s)
    return {
        "p50_ms": percentile(ordered, 0.50) * 1e3,
        "p99_ms": percentile(ordered, 0.99) * 1e3,
        "p999_ms": percentile(ordered, 0.999) * 1e3,
        "mean_ms": sum(ordered) / len(ordered) * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """Return median, min, max and count of one figure over the rounds (not empty)."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    even = len(ordered) % 2 == 0
    median = (ordered[middle - 1] + ordered[middle]) / 2 if even else ordered[middle]
    return {"median": median, "min": ordered[0], "max": ordered[-1], "rounds": len(ordered)}
