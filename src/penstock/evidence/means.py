"""Means of two versions, such as that of an outcome which users tell."""

from __future__ import annotations

import math

import msgspec

from penstock.evidence.verdict import Interval

MIN_COUNT = 50
"""Values of each version before anything is said of the means: the method is asymptotic."""

_TUNED_FOR = 1000.0
"""The number of values at which the interval is tightest, compared with its limit."""

_POOLED = 10.0
"""Values' worth of the common variance in that of each version."""


class Moments(msgspec.Struct, frozen=True):
    """What is kept of a stream of values.

    Attributes:
        count: of the values, >= 0.
        mean: theirs; 0 without values.
        m2: sum of the squared distances from the mean.
    """

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, count: int, total: float, squares: float) -> Moments:
        """Those of ``count`` values with this sum and this sum of squares."""
        if count <= 0:
            return cls()
        return cls(count, total / count, max(squares - total * total / count, 0.0))

    def __add__(self, other: Moments) -> Moments:
        """Those of both streams together (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        if not count:
            return Moments()
        apart, part = other.mean - self.mean, other.count / count
        m2 = self.m2 + other.m2 + apart * apart * self.count * part
        return Moments(count, self.mean + apart * part, m2)


def difference_interval(a: Moments, b: Moments, alpha: float) -> Interval:
    """Where a's mean minus b's lies, at every look at once, once there are many values.

    The normal-mixture confidence sequence (Robbins 1970; Howard et al. 2021) with estimated
    variances, which is asymptotic (Waudby-Smith et al. 2021, "Time-uniform central limit theory
    and asymptotic confidence sequences"): no bound on the values has to be known, and the level
    holds approximately, the better the more values there are and the lighter their tails.
    Infinite up to ``MIN_COUNT`` values of each, and while all values are the same.

    Args:
        a: the values of the one.
        b: the values of the other.
        alpha: how often, at most, the true difference is ever outside, over all looks.
    """
    if min(a.count, b.count) < 1:
        return Interval()
    difference = a.mean - b.mean
    pooled = (a.m2 + b.m2) / (a.count + b.count)
    if min(a.count, b.count) < MIN_COUNT or pooled <= 0:
        return Interval(estimate=difference)
    variance = _variance(a, pooled) / a.count + _variance(b, pooled) / b.count
    count = a.count * b.count / (a.count + b.count)
    half = math.sqrt(variance) * _width(count, alpha)
    return Interval(difference - half, difference + half, difference)


def _variance(moments: Moments, pooled: float) -> float:
    return (moments.m2 + _POOLED * pooled) / (moments.count - 1 + _POOLED)


def _width(count: float, alpha: float) -> float:
    """Half of the interval, in standard errors; 1.96 or so where one looks only once."""
    twice = 2 * math.log(1 / alpha)
    scale = _TUNED_FOR / (twice + math.log(twice) + 1)
    spread = 1 + count / scale
    return math.sqrt((1 + scale / count) * (math.log(spread) + twice))
