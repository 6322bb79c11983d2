"""Quantiles of counts in buckets."""

from __future__ import annotations

import math

import pytest

from penstock.evidence.quantiles import quantile_interval, ratio_interval

BOUNDS = [1.0, 2.0, 4.0, 8.0]


def test_without_values_nothing_is_known() -> None:
    nothing = [0, 0, 0, 0, 0]

    low, high, estimate = quantile_interval(nothing, BOUNDS, 0.5, 0.01)
    assert (low, high) == (0, math.inf)
    assert math.isnan(estimate)
    assert ratio_interval(nothing, [1, 1, 1, 1, 1], BOUNDS, 0.5, 0.01)[:2] == (0, math.inf)
    assert ratio_interval([1, 1, 1, 1, 1], nothing, BOUNDS, 0.5, 0.01)[:2] == (0, math.inf)


def test_one_value_tells_nothing_of_a_tail() -> None:
    assert quantile_interval([1, 0, 0, 0, 0], BOUNDS, 0.99, 0.01)[:2] == (0, math.inf)


def test_many_values_leave_the_bucket_they_are_in() -> None:
    low, high, estimate = quantile_interval([10, 900, 1000, 80, 10], BOUNDS, 0.6, 0.01)

    assert (low, high) == (2, 4)
    assert estimate == pytest.approx(2 + 2 * (1200 - 910) / 1000)


def test_a_quantile_at_the_edge_of_two_buckets_may_be_in_either() -> None:
    assert quantile_interval([0, 500, 500, 0, 0], BOUNDS, 0.5, 0.01)[:2] == (1, 4)


def test_beyond_the_last_bound_there_is_no_end() -> None:
    low, high, estimate = quantile_interval([0, 0, 0, 100, 900], BOUNDS, 0.99, 0.01)

    assert (low, high) == (8, math.inf)
    assert estimate == 8


def test_values_as_small_as_the_first_bucket() -> None:
    low, high, estimate = quantile_interval([900, 100, 0, 0, 0], BOUNDS, 0.5, 0.01)

    assert (low, high) == (0, 1)
    assert 0 < estimate < 1


def test_a_tail_twice_as_long() -> None:
    fine = [1.1**power for power in range(60)]
    one = [1000] * 40 + [0] * 21
    other = [0] * 7 + [1000] * 40 + [0] * 14

    low, high, estimate = ratio_interval(other, one, fine, 0.9, 0.001)

    assert estimate == pytest.approx(1.1**7)
    assert 1.5 < low < 1.1**7 < high < 2.5


def test_both_ways_round() -> None:
    one, other = [5, 300, 50, 9, 1], [40, 900, 200, 30, 2]

    this = ratio_interval(one, other, BOUNDS, 0.9, 0.05)
    that = ratio_interval(other, one, BOUNDS, 0.9, 0.05)

    assert this.low == pytest.approx(1 / that.high)
    assert this.high == pytest.approx(1 / that.low)


def test_it_is_no_wider_than_an_interval_of_each() -> None:
    one, other = [5, 300, 50, 9, 1], [40, 900, 200, 30, 2]

    low, high, _ = ratio_interval(one, other, BOUNDS, 0.9, 0.05)

    a, b = (quantile_interval(side, BOUNDS, 0.9, 0.05 / 4) for side in (one, other))
    assert a.low / b.high <= low
    assert high <= a.high / b.low


def test_a_billion_values() -> None:
    counts = [10**8, 10**9, 10**8, 10**7, 10**6]

    assert quantile_interval(counts, BOUNDS, 0.5, 0.001)[:2] == (1, 2)
    assert ratio_interval(counts, counts, BOUNDS, 0.5, 0.001)[:2] == (0.5, 2)
