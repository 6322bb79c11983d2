"""How many samples a decision takes: told before a rollout starts, and while it waits.

All but ``at_least`` and ``more_needed`` ask the intervals themselves, with the counts that are
expected. So about half of the rollouts need more, one in ten about twice as many.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from penstock.evidence import means, quantiles, rates, shift
from penstock.evidence.means import Moments

MANY = 10**12
"""What is returned where no number is enough, or none can be said."""

_TOLERANCE_RATIO = 0.01
_BUCKET_GROWTH = 1.1
_SPREAD = 0.5
_DEEPEST, _HIGHEST = -40, 60


def for_rate(rate: float, bound: float, alpha: float) -> int:
    """Samples until the interval of a rate excludes ``bound``, above or below it."""

    def is_enough(count: float) -> bool:
        interval = rates.rate_interval(rate * count, count, alpha)
        return interval.high < bound or interval.low > bound

    return _first(is_enough)


def for_rate_difference(rate: float, margin: float, share: float, alpha: float) -> int:
    """The candidate's samples until its rate is certainly less than ``margin`` above the other's.

    Args:
        rate: of both: they are alike.
        margin: the largest difference that is let pass.
        share: the candidate's of all samples, between 0 and 1.
        alpha: the level.
    """

    def is_enough(count: float) -> bool:
        other = count / share - count
        interval = rates.difference_interval(rate * count, count, rate * other, other, alpha)
        return interval.high < margin

    return _first(is_enough)


def for_quantile_ratio(quantile: float, max_ratio: float, share: float, alpha: float) -> int:
    """The candidate's samples until the ratio of a quantile is certainly below ``max_ratio``.

    Both latencies are taken for log-normal, with a 99th percentile of three times the median, in
    buckets that grow by a tenth. Of a longer tail it takes more: as many times as the tail is
    longer, squared.

    Args:
        quantile: which, between 0 and 1.
        max_ratio: the largest ratio that is let pass; below about 1.21 the buckets decide.
        share: the candidate's of all samples, between 0 and 1.
        alpha: the level.
    """
    bounds = [_BUCKET_GROWTH**power for power in range(_DEEPEST, _HIGHEST)]
    up_to = [0.0, *(_normal(math.log(bound) / _SPREAD) for bound in bounds), 1.0]
    parts = [high - low for low, high in itertools.pairwise(up_to)]

    def is_enough(count: float) -> bool:
        both = [[round(part * size) for part in parts] for size in (count, count / share - count)]
        return quantiles.ratio_interval(both[0], both[1], bounds, quantile, alpha).high <= max_ratio

    return _first(is_enough)


def for_total_variation(num_classes: int, max_distance: float, share: float, alpha: float) -> int:
    """The candidate's samples until the distance is certainly below ``max_distance``.

    Args:
        num_classes: of equal frequency, the same in both; the hardest case.
        max_distance: the largest total variation that is let pass.
        share: the candidate's of all samples, between 0 and 1.
        alpha: the level.
    """

    def is_enough(count: float) -> bool:
        other = count / share - count
        a, b = (
            {str(name): round(size / num_classes) for name in range(num_classes)}
            for size in (count, other)
        )
        chance = math.sqrt((num_classes - 1) / (2 * math.pi) * (1 / count + 1 / other))
        return shift.total_variation_interval(a, b, alpha).high + chance < max_distance

    return _first(is_enough)


def for_mean_difference(deviation: float, margin: float, share: float, alpha: float) -> int:
    """The candidate's values until its mean is certainly less than ``margin`` from the other's.

    Args:
        deviation: the standard deviation of the values of both.
        margin: the largest difference that is let pass.
        share: the candidate's of all values, between 0 and 1.
        alpha: the level.
    """

    def is_enough(count: float) -> bool:
        a, b = (
            Moments(math.ceil(size), 0.0, size * deviation**2)
            for size in (count, count / share - count)
        )
        return means.difference_interval(a, b, alpha).high < margin

    return _first(is_enough)


def at_least(rate: float, worse_rate: float, share: float, alpha: float) -> float:
    """Samples of both together that any test needs in the mean to say that one rate is higher.

    Wald's bound (1945) for a test of level alpha that finds it out in the end, against equal
    rates that nobody knows: ln(1/alpha) over the Kullback-Leibler divergence of a sample.

    Args:
        rate: the reference's.
        worse_rate: the candidate's.
        share: the candidate's of all samples, between 0 and 1.
        alpha: the level.
    """
    both = share * worse_rate + (1 - share) * rate
    divergence = share * _divergence(worse_rate, both) + (1 - share) * _divergence(rate, both)
    return math.log(1 / alpha) / divergence if divergence > 0 else float(MANY)


def more_needed(samples: int, half_width: float, wanted: float) -> int:
    """About how many samples more until an interval is narrow enough.

    Widths shrink with the root of the samples.

    Args:
        samples: so far.
        half_width: of the interval now.
        wanted: what it should be; ``MANY`` where that is not above 0, or nothing is known yet.
    """
    if half_width <= wanted:
        return 0
    if wanted <= 0 or not math.isfinite(half_width) or samples <= 0:
        return MANY
    return min(math.ceil(samples * ((half_width / wanted) ** 2 - 1)), MANY)


def _first(is_enough: Callable[[float], bool]) -> int:
    """The smallest number that is enough, within a hundredth; ``MANY``: there is none."""
    enough = 1.0
    while not is_enough(enough):
        enough *= 2
        if enough >= MANY:
            return MANY
    too_few = enough / 2
    while enough - too_few > max(_TOLERANCE_RATIO * enough, 0.5):
        middle = (enough + too_few) / 2
        enough, too_few = (middle, too_few) if is_enough(middle) else (enough, middle)
    return math.ceil(enough)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two yes-no experiments, in nats."""
    yes = p * math.log(p / q) if p > 0 else 0.0
    return yes + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def _normal(deviations: float) -> float:
    return math.erfc(-deviations / math.sqrt(2)) / 2
