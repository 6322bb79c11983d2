"""How far two distributions over classes are apart, such as the predictions of two versions."""

from __future__ import annotations

import math
from collections.abc import Mapping

from penstock.evidence.rates import difference_interval
from penstock.evidence.verdict import Interval

MAX_SINGLE = 20
"""Up to so many classes each one is looked at for itself; it would take long for more."""

_FIRST = 64.0
_GROWTH = 1.5


def total_variation_interval(a: Mapping[str, int], b: Mapping[str, int], alpha: float) -> Interval:
    """Where the total variation distance of two distributions lies, at every look at once.

    It is the part of the predictions that would have to change to make the two alike, 0 to 1.
    Two intervals, half of the level each, and what they have in common:

    - Of each class, up to ``MAX_SINGLE``: the differences of the rates, by
      ``rates.difference_interval``, at the level divided by the number of classes. Narrower for
      two or three classes, and where most predictions fall into one.
    - Of all classes together: how far counted and true distribution are apart, see
      ``_distance_from_truth``. Narrower for many classes.

    The classes are those that either has shown. One that nobody has seen yet can hide no more
    than its own probability.

    Args:
        a: how often each class came; a class that is missing came never.
        b: the same of the other.
        alpha: how often, at most, the true distance is ever outside, over all looks.
    """
    classes = sorted(name for name in a.keys() | b.keys() if a.get(name) or b.get(name))
    total_a, total_b = sum(a.values()), sum(b.values())
    if not total_a or not total_b:
        return Interval(0.0, 1.0)
    counts = [(a.get(name, 0), b.get(name, 0)) for name in classes]
    distance = sum(abs(one / total_a - other / total_b) for one, other in counts) / 2
    low, high = 0.0, 1.0
    if len(classes) <= MAX_SINGLE:
        low, high = _by_class(counts, total_a, total_b, alpha / 2)
    slack = _distance_from_truth(len(classes), total_a, alpha / 4)
    slack += _distance_from_truth(len(classes), total_b, alpha / 4)
    low, high = max(low, distance - slack), min(high, distance + slack)
    return Interval(low, high, distance)


def _by_class(
    counts: list[tuple[int, int]], total_a: int, total_b: int, alpha: float
) -> tuple[float, float]:
    """Bounds by the differences of the classes' rates.

    All that goes up adds up to the distance, and so does all that goes down.
    """
    if len(counts) == 2:
        counts = counts[:1]  # the other one's difference is the same, downwards
    each = alpha / len(counts)
    found = [difference_interval(one, total_a, two, total_b, each) for one, two in counts]
    if len(found) == 1:
        found.append(Interval(-found[0].high, -found[0].low))
    up = sum(max(one.low, 0.0) for one in found), sum(max(one.high, 0.0) for one in found)
    down = sum(max(-one.high, 0.0) for one in found), sum(max(-one.low, 0.0) for one in found)
    farthest = sum(max(one.high, -one.low) for one in found) / 2
    return max(up[0], down[0]), min(up[1], down[1], farthest, 1.0)


def _distance_from_truth(num_classes: int, count: int, alpha: float) -> float:
    """A bound on the total variation between counted and true distribution, at every look.

    Within each range of counts, every one 1.5 times as long as the one before, a maximal
    inequality holds: the distance is a reverse submartingale (Manole and Ramdas 2023, "Martingale
    methods for sequential estimation of convex functionals and divergences"), its mean is at most
    sqrt((classes - 1) / count) / 2, and it exceeds that with a chance below exp(-2 count x^2)
    (McDiarmid 1989). The level is shared out over the ranges, 1 / (i (i + 1)) each.
    """
    if count < _FIRST:
        return 1.0
    place = int(math.log(count / _FIRST) / math.log(_GROWTH))
    start = _FIRST * _GROWTH**place
    level = math.log((place + 1) * (place + 2) / alpha)
    return math.sqrt((num_classes - 1) / start) / 2 + math.sqrt(level / (2 * start))
