"""Rates: their intervals, and whether one is larger."""

from __future__ import annotations

import math
from time import perf_counter

import pytest

from penstock.evidence.bernoulli import log_e_value, log_mixture
from penstock.evidence.rates import difference_interval, more_often, rate_interval


def test_the_ends_are_where_the_e_value_reaches_the_level() -> None:
    low, high, estimate = rate_interval(20, 1000, 0.01)

    assert estimate == 0.02
    for end in (low, high):
        assert log_e_value(20, 1000, end) == pytest.approx(math.log(100), abs=1e-3)
    assert 0 < low < 0.02 < high < 0.05


def test_the_mixture_is_a_distribution() -> None:
    """Its likelihoods of all sequences of one length sum to 1."""
    total = sum(math.comb(12, k) * math.exp(log_mixture(k, 12)) for k in range(13))

    assert total == pytest.approx(1)


def test_without_trials_nothing_is_known() -> None:
    assert rate_interval(0, 0, 0.01)[:2] == (0, 1)
    assert math.isnan(rate_interval(0, 0, 0.01).estimate)
    low, high, estimate = difference_interval(0, 0, 0, 0, 0.01)
    assert (low, high) == (-1, 1)
    assert math.isnan(estimate)
    assert more_often(0, 0, 0, 0) == 0


@pytest.mark.parametrize(("events", "trials"), [(0, 50), (50, 50)])
def test_an_end_of_the_scale_stays_possible(events: int, trials: int) -> None:
    low, high, estimate = rate_interval(events, trials, 0.01)

    assert estimate in (low, high)
    assert {low, high} & {0.0, 1.0}
    assert high - low < 0.25


def test_a_billion_trials() -> None:
    low, high, _ = rate_interval(10**6, 10**9, 0.01)
    apart = difference_interval(2 * 10**6, 10**9, 10**6, 10**9, 0.01)

    assert 0.00099 < low < 0.001 < high < 0.00101
    assert 0.00098 < apart.low < 0.001 < apart.high < 0.00102
    assert more_often(2 * 10**6, 10**9, 10**6, 10**9) > 1e4
    assert more_often(10**6, 10**9, 10**6, 10**9) < 0


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.9])
def test_a_difference_is_never_wider_than_both_rates_apart(share: float) -> None:
    """At a quarter of the level each, which the interval is made of."""
    a, b = (10, 1000), (round(10 * (1 - share) / share), round(1000 * (1 - share) / share))

    low, high, _ = difference_interval(*a, *b, 0.01)

    of_a, of_b = rate_interval(*a, 0.0025), rate_interval(*b, 0.0025)
    assert of_a.low - of_b.high <= low < high <= of_a.high - of_b.low


def test_arms_of_one_size_make_it_narrower_than_two_intervals() -> None:
    low, high, _ = difference_interval(1000, 10_000, 1000, 10_000, 0.01)

    two = rate_interval(1000, 10_000, 0.005)
    assert high - low < 0.9 * 2 * (two.high - two.low)


def test_both_ways_round() -> None:
    one = difference_interval(30, 500, 60, 4000, 0.02)
    other = difference_interval(60, 4000, 30, 500, 0.02)

    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.estimate == -other.estimate


def test_errors_of_the_candidate_are_evidence_and_those_of_the_reference_against_it() -> None:
    even = more_often(1, 50, 19, 950)

    assert even < 0
    assert more_often(8, 50, 19, 950) > math.log(100)
    assert more_often(1, 50, 40, 950) < even


def test_three_errors_of_five_percent_of_the_requests_and_none_elsewhere() -> None:
    assert more_often(3, 100, 0, 1900) > math.log(1000)


def test_no_request_of_the_candidate_says_nothing() -> None:
    assert more_often(0, 0, 100, 1000) == pytest.approx(0)
    assert more_often(100, 1000, 0, 0) == pytest.approx(0)


@pytest.mark.timed
def test_looking_each_second_costs_next_to_nothing() -> None:
    began_s = perf_counter()
    for _ in range(100):
        rate_interval(17, 12_345, 0.001)

    assert (perf_counter() - began_s) / 100 < 1e-3
