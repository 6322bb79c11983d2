"""Laws of the evidence floor: what holds at every look, played through with seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.evidence import means, quantiles, rates, sample_ratio, shift, thompson
from penstock.evidence.means import Moments
from penstock.evidence.verdict import Interval

levels = st.sampled_from([0.3, 0.05, 0.001])
counts = st.integers(0, 200) | st.integers(0, 10**9)
streams = st.tuples(counts, counts).map(lambda two: (min(two), max(two)))
buckets = st.lists(counts, min_size=6, max_size=6)
classes = st.dictionaries(st.sampled_from("abcdefg"), counts, max_size=7)
moments = st.builds(Moments, st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(0, 1e9))
BOUNDS = (0.5, 1.0, 2.0, 4.0, 8.0)


def holds_its_estimate(interval: Interval) -> bool:
    low, high, estimate = interval
    slack = 1e-9 * max(1.0, abs(estimate))
    return low <= high and (math.isnan(estimate) or low - slack <= estimate <= high + slack)


def is_within(inner: Interval, outer: Interval) -> bool:
    return outer.low <= inner.low + 1e-5 and inner.high <= outer.high + 1e-5


@given(streams, streams, levels)
def test_rates(a: tuple[int, int], b: tuple[int, int], alpha: float) -> None:
    one, apart = rates.rate_interval(*a, alpha), rates.difference_interval(*a, *b, alpha)

    assert 0 <= one.low <= one.high <= 1
    assert -1 <= apart.low <= apart.high <= 1
    assert holds_its_estimate(one)
    assert holds_its_estimate(apart)
    assert is_within(one, rates.rate_interval(*a, alpha / 10))
    assert is_within(apart, rates.difference_interval(*a, *b, alpha / 10))
    back = rates.difference_interval(*b, *a, alpha)
    assert (apart.low, apart.high) == pytest.approx((-back.high, -back.low), abs=1e-6)
    assert apart == pytest.approx(rates.difference_interval(*a, *b, alpha), nan_ok=True)


@given(streams, st.integers(2, 1000), levels)
def test_more_of_the_same_makes_it_narrower(
    stream: tuple[int, int], times: int, alpha: float
) -> None:
    events, trials = stream

    little = rates.rate_interval(events, trials, alpha)
    much = rates.rate_interval(events * times, trials * times, alpha)

    assert much.high - much.low <= (little.high - little.low) * (1 + 1e-5) + 1e-12


@given(streams, streams)
def test_another_error_of_the_candidate_is_more_evidence_against_it(
    a: tuple[int, int], b: tuple[int, int]
) -> None:
    """And one of the reference is less."""
    e_value = rates.more_often(*a, *b)

    assert math.isfinite(e_value)
    if a[0] < a[1]:
        assert rates.more_often(a[0] + 1, a[1], *b) >= e_value - 1e-6
    if b[0] < b[1]:
        assert rates.more_often(*a, b[0] + 1, b[1]) <= e_value + 1e-6
    if a[1] and b[1] and a[0] * b[1] <= b[0] * a[1]:
        assert e_value <= 1e-6  # it does not come more often


@given(buckets, buckets, st.sampled_from([0.05, 0.5, 0.99]), levels)
def test_quantiles(a: list[int], b: list[int], quantile: float, alpha: float) -> None:
    one = quantiles.quantile_interval(a, BOUNDS, quantile, alpha)
    ratio = quantiles.ratio_interval(a, b, BOUNDS, quantile, alpha)

    assert {one.low, one.high} <= {0.0, *BOUNDS, math.inf}
    assert 0 <= ratio.low <= ratio.high
    assert holds_its_estimate(one)
    assert is_within(one, quantiles.quantile_interval(a, BOUNDS, quantile, alpha / 10))
    assert is_within(ratio, quantiles.ratio_interval(a, b, BOUNDS, quantile, alpha / 10))
    back = quantiles.ratio_interval(b, a, BOUNDS, quantile, alpha)
    if sum(a) and sum(b):
        assert ratio.low * back.high == pytest.approx(1) or math.isinf(back.high)
        assert ratio.estimate <= ratio.high or math.isnan(ratio.estimate)


@given(buckets, st.sampled_from([0.1, 0.9]), levels)
def test_values_that_grow_do_not_move_a_quantile_down(
    counted: list[int], quantile: float, alpha: float
) -> None:
    slower = [0, *counted[:-2], counted[-2] + counted[-1]]

    one = quantiles.quantile_interval(counted, BOUNDS, quantile, alpha)
    other = quantiles.quantile_interval(slower, BOUNDS, quantile, alpha)

    assert other.low >= one.low
    assert other.high >= one.high


@given(classes, classes, levels)
def test_distances(a: dict[str, int], b: dict[str, int], alpha: float) -> None:
    found = shift.total_variation_interval(a, b, alpha)

    assert 0 <= found.low <= found.high <= 1
    assert holds_its_estimate(found)
    assert is_within(found, shift.total_variation_interval(a, b, alpha / 10))
    back = shift.total_variation_interval(b, a, alpha)
    assert found == pytest.approx(back, abs=1e-5, nan_ok=True)


@given(moments, moments, levels)
def test_means(a: Moments, b: Moments, alpha: float) -> None:
    found = means.difference_interval(a, b, alpha)

    assert holds_its_estimate(found)
    assert is_within(found, means.difference_interval(a, b, alpha / 10))
    back = means.difference_interval(b, a, alpha)
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))


@settings(max_examples=20)
@given(
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 1e9)),
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 1e9)),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_shares(
    successes: dict[str, float], failures: dict[str, float], floor_ratio: float, seed: int
) -> None:
    found = thompson.shares(successes, failures, floor_ratio, seed)

    assert set(found) == successes.keys() | failures.keys()
    if found:
        assert sum(found.values()) == pytest.approx(1)
        assert min(found.values()) >= min(floor_ratio, 1 / len(found)) - 1e-9


LOOKS = [round(20 * 1.25**power) for power in range(26)]
"""Requests of both versions at each look; 5,000 or so at the last one."""

ALPHA = 0.1
RUNS = 100
TOO_MANY = 0.1 + 2.6 * math.sqrt(0.1 * 0.9 / RUNS)
"""Chance in two hundred that the level holds and so many of the runs still miss."""


def growing(rng: np.random.Generator, share: float) -> Iterator[tuple[int, int]]:
    """New requests of the candidate and of the reference between two looks."""
    before = 0
    for count in LOOKS:
        new = int(rng.binomial(count - before, share))
        yield new, count - before - new
        before = count


def part_that_miss(run: Callable[[np.random.Generator], bool]) -> float:
    """The part of the runs in which the truth was ever outside, at any look."""
    return sum(run(np.random.default_rng(seed)) for seed in range(RUNS)) / RUNS


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("rate", [0.005, 0.2])
def test_the_true_rates_are_inside_at_every_look(rate: float, share: float) -> None:
    def run(rng: np.random.Generator) -> bool:
        a, b, na, nb = 0, 0, 0, 0
        is_outside = False
        for new, old in growing(rng, share):
            a, na = a + int(rng.binomial(new, 2 * rate)), na + new
            b, nb = b + int(rng.binomial(old, rate)), nb + old
            one = rates.rate_interval(a, na, ALPHA)
            apart = rates.difference_interval(a, na, b, nb, ALPHA)
            is_outside |= not one.low <= 2 * rate <= one.high
            is_outside |= not apart.low <= rate <= apart.high
        return is_outside

    assert part_that_miss(run) < 2 * TOO_MANY  # two intervals


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_equal_rates_are_called_unequal_within_the_level_whatever_the_share_is(
    rate: float, share: float
) -> None:
    def run(rng: np.random.Generator) -> bool:
        is_candidate = rng.random(4000) < share
        is_error = rng.random(4000) < rate
        trials_a = np.cumsum(is_candidate)
        events_a, events = np.cumsum(is_candidate & is_error), np.cumsum(is_error)
        return any(
            rates.more_often(
                int(events_a[i]),
                int(trials_a[i]),
                int(events[i] - events_a[i]),
                int(i + 1 - trials_a[i]),
            )
            >= math.log(1 / ALPHA)
            for i in np.flatnonzero(is_error)
        )

    assert part_that_miss(run) < TOO_MANY


def test_the_true_quantile_and_the_ratio_are_inside_at_every_look() -> None:
    bounds = [1.1**power for power in range(-20, 40)]
    truth = math.exp(0.5 * 1.2815515655)  # of a log-normal: its 90th percentile

    def run(rng: np.random.Generator) -> bool:
        seen = np.zeros((2, len(bounds) + 1), int)
        is_outside = False
        for new in growing(rng, 0.3):
            for side, (count, scale) in enumerate(zip(new, (1.3, 1.0), strict=True)):
                values = scale * np.exp(rng.normal(0, 0.5, count))
                places = np.searchsorted(bounds, values)
                seen[side] += np.bincount(places, minlength=len(bounds) + 1)
            a, b = seen.tolist()
            one = quantiles.quantile_interval(a, bounds, 0.9, ALPHA)
            ratio = quantiles.ratio_interval(a, b, bounds, 0.9, ALPHA)
            is_outside |= not one.low <= 1.3 * truth <= one.high
            is_outside |= not ratio.low <= 1.3 <= ratio.high
        return is_outside

    assert part_that_miss(run) < 2 * TOO_MANY


def test_the_true_difference_of_means_is_inside_at_every_look() -> None:
    """Of values that are skewed: exponential ones."""

    def run(rng: np.random.Generator) -> bool:
        a, b = Moments(), Moments()
        is_outside = False
        for new, old in growing(rng, 0.3):
            values = rng.exponential(2.0, new), rng.exponential(1.0, old)
            one, other = (Moments.of(len(v), float(v.sum()), float((v**2).sum())) for v in values)
            a, b = a + one, b + other
            low, high, _ = means.difference_interval(a, b, ALPHA)
            is_outside |= not low <= 1.0 <= high
        return is_outside

    assert part_that_miss(run) < TOO_MANY


@pytest.mark.parametrize("of_a", [(0.25, 0.25, 0.25, 0.25), (0.9, 0.06, 0.03, 0.01)])
def test_the_true_distance_is_inside_at_every_look(of_a: tuple[float, ...]) -> None:
    of_b = of_a[1:] + of_a[:1]
    truth = sum(abs(x - y) for x, y in zip(of_a, of_b, strict=True)) / 2

    def run(rng: np.random.Generator) -> bool:
        seen = np.zeros((2, 4), int)
        is_outside = False
        for new, old in growing(rng, 0.3):
            seen += [rng.multinomial(new, of_a), rng.multinomial(old, of_b)]
            a, b = (dict(zip("abcd", side.tolist(), strict=True)) for side in seen)
            low, high, _ = shift.total_variation_interval(a, b, ALPHA)
            is_outside |= not low <= truth <= high
        return is_outside

    assert part_that_miss(run) < TOO_MANY


def test_right_shares_are_called_wrong_within_the_level() -> None:
    def run(rng: np.random.Generator) -> bool:
        a, b, highest = 0, 0, -math.inf
        for new, old in growing(rng, 0.05):
            a, b = a + new, b + old
            log_e = sample_ratio.log_e_value({"a": a, "b": b}, {"a": 5, "b": 95})
            highest = max(highest, log_e)
        return highest >= math.log(1 / ALPHA)

    assert part_that_miss(run) < TOO_MANY
