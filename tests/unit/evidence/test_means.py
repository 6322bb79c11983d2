"""Means of two streams."""

from __future__ import annotations

import math
import statistics

import pytest

from penstock.evidence.means import MIN_COUNT, Moments, difference_interval


def moments(*values: float) -> Moments:
    return Moments.of(len(values), sum(values), sum(value * value for value in values))


def test_moments_are_the_mean_and_the_spread() -> None:
    values = (1.0, 4.0, 4.0, 7.0)

    found = moments(*values)

    assert (found.count, found.mean) == (4, 4.0)
    assert found.m2 / 4 == pytest.approx(statistics.pvariance(values))
    assert moments() == Moments(0, 0.0, 0.0)


def test_streams_add_up() -> None:
    one, other = (1.0, 2.5, -3.0), (10.0, 11.0)

    both = moments(*one) + moments(*other)

    whole = moments(*one, *other)
    assert (both.count, both.mean) == (whole.count, pytest.approx(whole.mean))
    assert both.m2 == pytest.approx(whole.m2)
    assert moments(*one) + Moments() == moments(*one)
    assert Moments() + Moments() == Moments()


def test_values_far_from_zero_lose_no_precision_when_they_are_added() -> None:
    one, other = Moments(2, 1e9, 2.0), Moments(2, 1e9 + 1, 2.0)

    assert (one + other).m2 == pytest.approx(5.0)


@pytest.mark.parametrize("few", [0, MIN_COUNT - 1])
def test_of_few_values_nothing_is_said(few: int) -> None:
    low, high, _ = difference_interval(Moments(few, 1.0, 1.0), Moments(9999, 0.0, 1.0), 0.01)

    assert (low, high) == (-math.inf, math.inf)


def test_while_all_values_are_the_same_their_scale_is_not_known() -> None:
    same = Moments(10_000, 0.0, 0.0)

    assert difference_interval(same, same, 0.01) == (-math.inf, math.inf, 0.0)


def test_one_version_with_equal_values_is_not_taken_for_certain() -> None:
    """No sale in 100 does not say that there never is one, if the other version has some."""
    none, some = Moments(100, 0.0, 0.0), Moments(1000, 0.01, 1000 * 0.01 * 0.99)

    low, high, _ = difference_interval(none, some, 0.05)

    assert low < -0.01 < 0 < high


def test_a_difference_of_three_standard_deviations_is_found() -> None:
    a, b = Moments(1000, 1.0, 1000.0), Moments(1000, 0.7, 1000.0)

    low, high, estimate = difference_interval(a, b, 0.01)

    assert estimate == pytest.approx(0.3)
    assert 0 < low < 0.3 < high
    assert difference_interval(b, a, 0.01).high == pytest.approx(-low)


def test_it_is_wider_than_one_that_holds_at_one_look_only_and_not_by_much() -> None:
    both = Moments(20_000, 0.0, 20_000.0)

    _, high, _ = difference_interval(both, both, 0.05)

    once = 1.96 * math.sqrt(2 / 20_000)
    assert 1.3 * once < high < 1.8 * once


def test_a_billion_values() -> None:
    many = Moments(10**9, 5.0, 1e9)

    assert difference_interval(many, many, 0.01).high < 5e-4
