"""Quantiles of what was counted in buckets, such as a version's 99th percentile of latency."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

from penstock.evidence.bernoulli import log_e_value
from penstock.evidence.verdict import Interval


def quantile_interval(
    counts: Sequence[int], bounds: Sequence[float], quantile: float, alpha: float
) -> Interval:
    """Where a quantile of values >= 0 lies, at every look at once. Exact but for the buckets.

    How many values are up to the quantile is one stream of yes and no, whose rate is known: it is
    ``quantile``. So a bound below which too few or too many values are is not the quantile (see
    ``bernoulli``). All bounds may be tried at no further cost: a wrong answer at any of them
    means that the one stream at the true quantile went astray too, because counts only grow from
    one bound to the next (Howard and Ramdas 2022, "Sequential estimation of quantiles with
    applications to A/B testing and best-arm identification").

    Args:
        counts: of each bucket; one more than ``bounds``, the last one being unbounded.
        bounds: the buckets' upper ends, ascending.
        quantile: which, between 0 and 1.
        alpha: how often, at most, the true quantile is ever outside, over all looks.

    Returns:
        the interval, its ends being bounds, 0 or infinity.
    """
    if not sum(counts):
        return Interval(0.0)
    level = -math.log(alpha)
    return _Around.of(counts, bounds, quantile, level).interval(level)


def ratio_interval(
    counts_a: Sequence[int],
    counts_b: Sequence[int],
    bounds: Sequence[float],
    quantile: float,
    alpha: float,
) -> Interval:
    """Where a's quantile divided by b's lies, at every look at once. Exact but for the buckets.

    As in ``rates.difference_interval``: half of the level for the pairs of quantiles whose
    e-values multiply to less, half of it for an interval of each, and what both have in common.

    Args:
        counts_a: of a's buckets; one more than ``bounds``, the last one being unbounded.
        counts_b: of b's.
        bounds: the buckets' upper ends, ascending.
        quantile: which, between 0 and 1.
        alpha: how often, at most, the true ratio is ever outside, over all looks.
    """
    if not sum(counts_a) or not sum(counts_b):
        return Interval(0.0)
    level, level_of_each = math.log(2 / alpha), math.log(4 / alpha)
    farthest = level + max(_unsure(counts_a, quantile), _unsure(counts_b, quantile))
    farthest = max(farthest, level_of_each)
    a = _Around.of(counts_a, bounds, quantile, farthest)
    b = _Around.of(counts_b, bounds, quantile, farthest)
    of_a, of_b = a.interval(level_of_each), b.interval(level_of_each)
    largest, smallest = _largest_ratio(a, b, level), _divided(1.0, _largest_ratio(b, a, level))
    return Interval(
        max(smallest, _divided(of_a.low, of_b.high)),
        min(largest, _divided(of_a.high, of_b.low)),
        _divided(of_a.estimate, of_b.estimate),
    )


class _Bucket(NamedTuple):
    """A bucket that may hold the quantile.

    Attributes:
        end: the one of its ends that is farther from where the counts have the quantile.
        log_e: log e-value against the quantile being in it, at the least.
    """

    end: float
    log_e: float


class _Around(NamedTuple):
    """The buckets that may hold a quantile, from the one where the counts have it.

    Attributes:
        down: from that one downwards; the e-values grow.
        up: from that one upwards; the e-values grow.
        estimate: the quantile by the counts.
    """

    down: list[_Bucket]
    up: list[_Bucket]
    estimate: float

    @classmethod
    def of(
        cls, counts: Sequence[int], bounds: Sequence[float], quantile: float, level: float
    ) -> _Around:
        """Those whose log e-value is below ``level``; at least one count is not 0."""
        up_to = list(accumulate(counts))
        total = up_to[-1]
        middle = bisect.bisect_left(up_to, quantile * total)
        ends = [0.0, *bounds, math.inf]  # bucket i lies between ends[i] and ends[i + 1]
        here = log_e_value(quantile * total, total, quantile)

        def near(bucket: int, end: int) -> _Bucket:
            return _Bucket(ends[end], log_e_value(up_to[bucket], total, quantile))

        down = (near(i, i) for i in range(middle - 1, -1, -1))
        up = (near(i - 1, i + 1) for i in range(middle + 1, len(counts)))
        place = (quantile * total - up_to[middle] + counts[middle]) / counts[middle]
        low, high = ends[middle], min(ends[middle + 1], bounds[-1])
        return cls(
            [_Bucket(ends[middle], here), *takewhile(lambda one: one.log_e < level, down)],
            [_Bucket(ends[middle + 1], here), *takewhile(lambda one: one.log_e < level, up)],
            low + place * (high - low),
        )

    def interval(self, level: float) -> Interval:
        """Where the quantile is: the buckets whose log e-value is below ``level``."""
        return Interval(
            min(one.end for one in self.down if one.log_e < level),
            max(one.end for one in self.up if one.log_e < level),
            self.estimate,
        )


def _unsure(counts: Sequence[int], quantile: float) -> float:
    """By how much the log e-value is below 0 where the counts have the quantile."""
    total = sum(counts)
    return -log_e_value(quantile * total, total, quantile)


def _largest_ratio(a: _Around, b: _Around, level: float) -> float:
    """The largest ratio of two quantiles whose log e-values add up to less than ``level``."""
    largest, farthest = 0.0, len(a.up) - 1
    for of_b in b.down:
        while farthest >= 0 and a.up[farthest].log_e + of_b.log_e >= level:
            farthest -= 1
        if farthest < 0:
            break
        largest = max(largest, _divided(a.up[farthest].end, of_b.end))
    return largest


def _divided(one: float, other: float) -> float:
    """The ratio of two values >= 0; nothing divided by nothing may be anything."""
    if other == 0:
        return math.inf
    return 0.0 if other == math.inf else one / other
