"""How many samples are needed, held against rollouts that are played through."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from penstock.evidence import means, quantiles, rates, samples, shift
from penstock.evidence.means import Moments
from penstock.evidence.verdict import Interval

ALPHA = 0.05
SHARE = 0.2
SEEN_AT = [round(30 * 1.08**power) for power in range(100)]
"""The candidate's samples at each look; the reference has four times as many."""

BOUNDS = [1.1**power for power in range(-40, 60)]


def median_samples(
    play: Callable[[np.random.Generator], Callable[[int, int], Interval]],
    is_decided: Callable[[Interval], bool],
) -> float:
    """The median number of the candidate's samples at the first look that decides."""
    needed = []
    for seed in range(9):
        look = play(np.random.default_rng(seed))
        before = 0
        for count in SEEN_AT:
            if is_decided(look(count - before, 4 * (count - before))):
                needed.append(count)
                break
            before = count
        else:
            needed.append(10**9)
    return statistics.median(needed)


def rate_difference(rng: np.random.Generator) -> Callable[[int, int], Interval]:
    seen = np.zeros(4, int)

    def look(new: int, old: int) -> Interval:
        seen[:] += rng.binomial(new, 0.01), new, rng.binomial(old, 0.01), old
        return rates.difference_interval(*seen.tolist(), ALPHA)

    return look


def quantile_ratio(rng: np.random.Generator) -> Callable[[int, int], Interval]:
    seen = np.zeros((2, len(BOUNDS) + 1), int)

    def look(*counts: int) -> Interval:
        for side, count in zip(seen, counts, strict=True):
            values = np.exp(rng.normal(0, 0.5, count))
            side += np.bincount(np.searchsorted(BOUNDS, values), minlength=len(side))
        return quantiles.ratio_interval(*seen.tolist(), BOUNDS, 0.95, ALPHA)

    return look


def distance(rng: np.random.Generator) -> Callable[[int, int], Interval]:
    seen = np.zeros((2, 8), int)

    def look(*counts: int) -> Interval:
        for side, count in zip(seen, counts, strict=True):
            side += rng.multinomial(count, [1 / 8] * 8)
        a, b = (dict(zip("abcdefgh", side.tolist(), strict=True)) for side in seen)
        return shift.total_variation_interval(a, b, ALPHA)

    return look


def mean_difference(rng: np.random.Generator) -> Callable[[int, int], Interval]:
    seen = [Moments(), Moments()]

    def look(*counts: int) -> Interval:
        for side, count in enumerate(counts):
            values = rng.normal(7, 2, count)
            new = Moments.of(count, float(values.sum()), float((values**2).sum()))
            seen[side] = seen[side] + new
        return means.difference_interval(*seen, ALPHA)

    return look


@pytest.mark.parametrize(
    ("play", "bound", "expected"),
    [
        (rate_difference, 0.01, samples.for_rate_difference(0.01, 0.01, SHARE, ALPHA)),
        (quantile_ratio, 1.5, samples.for_quantile_ratio(0.95, 1.5, SHARE, ALPHA)),
        (distance, 0.12, samples.for_total_variation(8, 0.12, SHARE, ALPHA)),
        (mean_difference, 0.2, samples.for_mean_difference(2.0, 0.2, SHARE, ALPHA)),
    ],
    ids=["rate", "quantile", "distance", "mean"],
)
def test_what_is_said_is_about_what_it_takes(
    play: Callable[[np.random.Generator], Callable[[int, int], Interval]],
    bound: float,
    expected: int,
) -> None:
    took = median_samples(play, lambda interval: interval.high <= bound)

    assert took / 1.7 < expected < took * 1.7


def test_a_rate_and_a_bound_on_either_side() -> None:
    below, above = samples.for_rate(0.99, 0.97, 0.05), samples.for_rate(0.95, 0.97, 0.05)

    assert rates.rate_interval(0.99 * below, below, 0.05).low > 0.97
    assert rates.rate_interval(0.99 * below / 2, below / 2, 0.05).low < 0.97
    assert rates.rate_interval(0.95 * above, above, 0.05).high < 0.97


@pytest.mark.parametrize(
    "never",
    [
        samples.for_rate(0.97, 0.97, 0.05),
        samples.for_rate_difference(0.01, 0.0, 0.1, 0.05),
        samples.for_quantile_ratio(0.99, 1.05, 0.1, 0.05),
        samples.for_total_variation(10, 0.0, 0.1, 0.05),
        samples.for_mean_difference(1.0, 0.0, 0.1, 0.05),
        samples.at_least(0.01, 0.01, 0.1, 0.05),
        samples.more_needed(1000, 0.1, 0.0),
        samples.more_needed(0, math.inf, 0.1),
    ],
)
def test_what_no_number_decides(never: float) -> None:
    assert never == samples.MANY


def test_a_smaller_margin_a_smaller_level_and_rarer_requests_take_more() -> None:
    count = samples.for_rate_difference(0.01, 0.01, 0.5, 0.05)

    assert samples.for_rate_difference(0.01, 0.005, 0.5, 0.05) > 2 * count
    assert samples.for_rate_difference(0.01, 0.01, 0.5, 0.001) > count
    assert samples.for_rate_difference(0.01, 0.01, 0.9, 0.05) > count


def test_no_test_finds_a_bad_canary_sooner_than_this() -> None:
    """Five percent of the requests, of which 5 % fail instead of 0.1 %; see Wald (1945)."""
    both = samples.at_least(0.001, 0.05, 0.05, 0.001)

    assert both == pytest.approx(1241, abs=1)
    assert samples.at_least(0.001, 0.05, 0.05, 0.01) == pytest.approx(both * 2 / 3)
    assert samples.at_least(0.0, 0.05, 0.05, 0.001) < both


def test_an_interval_twice_as_wide_as_wanted_needs_four_times_as_much() -> None:
    assert samples.more_needed(1000, 0.2, 0.1) == 3000
    assert samples.more_needed(1000, 0.1, 0.1) == 0
    assert samples.more_needed(10**9, 1.0, 1e-9) == samples.MANY
