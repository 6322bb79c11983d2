"""Rates of two versions, such as that of failed requests: how large, and is one larger?"""

from __future__ import annotations

import math
from typing import NamedTuple

from penstock.evidence.bernoulli import log_likelihood, log_mixture
from penstock.evidence.edge import edge
from penstock.evidence.verdict import Interval

BETS = ((1.15, 1 / 12), (1.6, 1 / 12), (3.0, 2 / 12), (8.0, 2 / 12), (25.0, 3 / 12), (80.0, 3 / 12))
"""What ``more_often`` bets on: the ratio of two rates, and which part of the money. Most of it is
on large ratios, since a version that fails often has to be found after a few failures."""

_STEEPEST = 1e30


class _Stream(NamedTuple):
    events: float
    trials: float


def rate_interval(events: float, trials: float, alpha: float) -> Interval:
    """Where a rate lies, at every look at once: a confidence sequence. Exact.

    It holds the rates whose beta-binomial mixture e-value is below 1/alpha (see ``bernoulli``;
    Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences").

    Args:
        events: how often it came, 0 <= events <= trials; an expected number need not be whole.
        trials: out of how many; 0: nothing is known, 0 to 1.
        alpha: how often, at most, the true rate is ever outside, over all looks.
    """
    if trials <= 0:
        return Interval(0.0, 1.0)
    estimate = events / trials
    least = log_mixture(events, trials) + math.log(alpha)

    def excess(rate: float) -> float:
        return least - log_likelihood(events, trials, rate)

    step = math.sqrt(-2 * excess(estimate) * _variance(_Stream(events, trials)))
    return Interval(edge(excess, estimate, -step, 0.0), edge(excess, estimate, step, 1.0), estimate)


def more_often(events_a: float, trials_a: float, events_b: float, trials_b: float) -> float:
    """Log e-value against "a's rate is not above b's": reject at level alpha above ln(1/alpha).

    When an event comes, it is a's with the chance share * ratio / (share * ratio + 1 - share),
    ``ratio`` being that of the two rates and ``share`` a's share of the trials. So every event is
    a bet on whose it is, and the money is spread over ``BETS``. Neither rate has to be known.
    Trials without an event are left out: while events are rare they tell next to nothing.

    Law: a's share of the trials must stay the same within what is counted, whatever it is. Were
    it known, the bets would be a martingale under equal rates, as in a sequential sign test
    (Robbins 1970). It is read from the trials instead, and the bets then vary less than that: the
    number of a's events is hypergeometric, whose moments are below the binomial's (Hoeffding
    1963, section 6). So the level errs on the safe side, the more so the more frequent events
    are; the tests hold it at every look. For rare events these are the bets of Turner, Ly and
    Gruenwald (2024), "Generic e-variables for exact sequential k-sample tests".
    """
    trials, events = trials_a + trials_b, events_a + events_b
    if trials <= 0:
        return 0.0
    share = trials_a / trials
    logs = [
        math.log(part) + events_a * math.log(ratio) - events * math.log1p(share * (ratio - 1))
        for ratio, part in BETS
    ]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs))


def difference_interval(
    events_a: float, trials_a: float, events_b: float, trials_b: float, alpha: float
) -> Interval:
    """Where a's rate minus b's lies, at every look at once. Exact, however trials are dealt out.

    Two intervals, half of the level each, and what they have in common:

    - The e-values of two streams multiply to one of both rates. It holds the differences of all
      pairs of rates whose product is below (Turner and Gruenwald 2023, "Exact anytime-valid
      confidence intervals for contingency tables"). Narrower where both have as many trials.
    - The interval of each rate, at half of that half. Narrower where one has few trials.

    Args:
        events_a: how often it came to a; an expected number need not be whole.
        trials_a: out of how many.
        events_b: how often it came to b.
        trials_b: out of how many.
        alpha: how often, at most, the true difference is ever outside, over all looks.
    """
    a, b = _Stream(events_a, trials_a), _Stream(events_b, trials_b)
    of_a, of_b = rate_interval(*a, alpha / 4), rate_interval(*b, alpha / 4)
    low = max(-_largest_difference(b, a, alpha / 2), of_a.low - of_b.high)
    high = min(_largest_difference(a, b, alpha / 2), of_a.high - of_b.low)
    return Interval(low, high, of_a.estimate - of_b.estimate)


def _largest_difference(a: _Stream, b: _Stream, alpha: float) -> float:
    """The largest difference of two rates whose e-values multiply to less than 1/alpha.

    These pairs are a convex set. Where their difference is largest on its rim, one's log
    likelihood falls just as steeply as the other's rises.
    """
    least = log_mixture(*a) + log_mixture(*b) + math.log(alpha)

    def excess(slope: float) -> float:
        of_a = log_likelihood(*a, _rate_at(a, slope))
        return least - of_a - log_likelihood(*b, _rate_at(b, -slope))

    step = math.sqrt(-2 * excess(0.0) / (_variance(a) + _variance(b)))
    slope = edge(excess, 0.0, step, _STEEPEST)
    return _rate_at(a, slope) - _rate_at(b, -slope)


def _variance(stream: _Stream) -> float:
    """About that of the rate by the counts; above 0."""
    events, misses = stream.events + 0.5, stream.trials - stream.events + 0.5
    return events * misses / (events + misses) ** 3


def _rate_at(stream: _Stream, slope: float) -> float:
    """The rate at which the log likelihood falls with ``slope``.

    The root of slope * p^2 + (trials - slope) * p - events, between 0 and 1.
    """
    rest = stream.trials - slope
    root = math.sqrt(rest * rest + 4 * slope * stream.events)
    if rest > 0:
        return min(2 * stream.events / (rest + root), 1.0)
    return min((root - rest) / (2 * slope), 1.0) if slope > 0 else 0.0
