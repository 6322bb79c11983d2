"""Distances of two distributions over classes."""

from __future__ import annotations

import math

import pytest

from penstock.evidence.rates import difference_interval
from penstock.evidence.shift import MAX_SINGLE, total_variation_interval


def even(classes: int, each: int) -> dict[str, int]:
    return {f"c{number}": each for number in range(classes)}


def test_without_predictions_nothing_is_known() -> None:
    low, high, estimate = total_variation_interval({}, {"a": 9}, 0.01)

    assert (low, high) == (0, 1)
    assert math.isnan(estimate)


def test_two_classes_are_one_rate() -> None:
    a, b = {"yes": 30, "no": 970}, {"yes": 400, "no": 19_600}

    low, high, estimate = total_variation_interval(a, b, 0.02)

    rate = difference_interval(30, 1000, 400, 20_000, 0.01)
    assert estimate == pytest.approx(0.01)
    assert (low, high) == pytest.approx((max(rate.low, 0), rate.high))


def test_a_tenth_that_moved_is_found() -> None:
    a = {"x": 4000, "y": 3000, "z": 3000}
    b = {"x": 30_000, "y": 40_000, "z": 30_000}

    low, high, estimate = total_variation_interval(a, b, 0.01)

    assert estimate == pytest.approx(0.1)
    assert 0.05 < low < 0.1 < high < 0.15


@pytest.mark.parametrize("classes", [1, 2, 5, 10, MAX_SINGLE, MAX_SINGLE + 1, 50])
def test_what_is_alike_is_near(classes: int) -> None:
    a, b = even(classes, 20_000 // classes), even(classes, 400_000 // classes)

    low, high, estimate = total_variation_interval(a, b, 0.01)

    assert estimate == pytest.approx(0)
    assert low == 0
    assert high < 0.08


def test_no_class_in_common() -> None:
    low, high, estimate = total_variation_interval({"a": 5000}, {"b": 5000}, 0.01)

    assert estimate == 1
    assert 0.95 < low < high == 1


def test_a_class_that_never_came_is_a_zero() -> None:
    a, b = {"a": 700, "b": 300}, {"a": 900, "b": 100}

    found = total_variation_interval({**a, "c": 0}, b, 0.01)

    assert found == total_variation_interval(a, b, 0.01)


def test_both_ways_round() -> None:
    a, b = {"x": 40, "y": 30, "z": 1}, {"x": 300, "y": 500, "w": 20}

    one, other = total_variation_interval(a, b, 0.05), total_variation_interval(b, a, 0.05)

    assert one == pytest.approx(other)


def test_a_billion_predictions() -> None:
    assert total_variation_interval(even(10, 10**9), even(10, 10**9), 0.01).high < 1e-3
