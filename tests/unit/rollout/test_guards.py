"""Answers that are no finite numbers: how many are enough."""

from __future__ import annotations

import itertools
import random

import pytest

from penstock.rollout.gates.counts import Sides
from penstock.rollout.guards import is_more_often_non_finite
from penstock.router.counts import PairCounts, VariantCounts
from tests.unit.rollout.rollouts import a_variant

ALPHA = 0.001


def says(candidate: VariantCounts, reference: VariantCounts, *, at_once: bool = True) -> bool:
    sides = Sides(candidate, reference, PairCounts(), is_concurrent=at_once)
    return is_more_often_non_finite(sides, ALPHA)


def is_late(candidate: VariantCounts, reference: VariantCounts) -> bool:
    return says(candidate, reference, at_once=False)


def is_mostly(candidate: VariantCounts) -> bool:
    sides = Sides(candidate, a_variant(0), PairCounts(), is_concurrent=False)
    return is_more_often_non_finite(sides, ALPHA, is_alone=True)


@pytest.mark.parametrize("requests", [1, 5, 500])
@pytest.mark.parametrize("others", [0, 9_000, 10**9])
def test_one_alone_says_nothing(requests: int, others: int) -> None:
    one = a_variant(requests, non_finite=1)
    assert not says(one, a_variant(others))
    assert not is_late(one, a_variant(others))


@pytest.mark.parametrize(("share", "at_most"), [(0.01, 3), (0.05, 4), (0.25, 7), (0.5, 12)])
def test_nothing_but_such_answers_ends_within_a_handful(share: float, at_most: int) -> None:
    found = next(
        count
        for count in itertools.count(1)
        if says(a_variant(count, non_finite=count), a_variant(int(count / share) - count))
    )
    assert found <= at_most


@pytest.mark.parametrize(("others", "at_most"), [(10, 7), (100, 4), (20_000, 3)])
def test_in_the_bake_too(others: int, at_most: int) -> None:
    found = next(
        count
        for count in itertools.count(1)
        if is_late(a_variant(count, non_finite=count), a_variant(others))
    )
    assert found <= at_most


def test_as_many_of_the_references_are_no_difference() -> None:
    assert not says(a_variant(500, non_finite=50), a_variant(9_500, non_finite=950))
    assert not is_late(a_variant(500, non_finite=50), a_variant(9_500, non_finite=950))


def test_few_that_the_reference_has_never_are_found() -> None:
    assert says(a_variant(500, non_finite=5), a_variant(9_500))
    assert is_late(a_variant(500, non_finite=15), a_variant(9_500))


def test_where_nothing_was_counted_of_the_reference_it_takes_most_answers() -> None:
    assert not is_mostly(a_variant(1, non_finite=1))
    assert not is_mostly(a_variant(1000, non_finite=400))
    assert is_mostly(a_variant(1000, non_finite=700))
    assert is_mostly(a_variant(14, non_finite=14))


def test_counts_that_are_told_before_their_requests_say_nothing() -> None:
    assert not says(a_variant(0, non_finite=9), a_variant(1000))
    assert not is_late(a_variant(0, non_finite=9), a_variant(1000))
    assert not is_mostly(a_variant(0, non_finite=9))


def test_inputs_that_make_nans_seldom_roll_back() -> None:
    dice = random.Random(7)
    wrong = sum(_is_ever_said(dice) for _ in range(300))
    assert wrong == 0


def _is_ever_said(dice: random.Random) -> bool:
    """One canary of 5 %, looked at after each event, where both answer 2 % with a NaN."""
    counts = {True: [0, 0], False: [0, 0]}
    for _ in range(2000):
        mine = counts[dice.random() < 0.05]
        mine[0] += 1
        if dice.random() < 0.02:
            mine[1] += 1
            new, old = (a_variant(n, non_finite=k) for n, k in (counts[True], counts[False]))
            if says(new, old):
                return True
    return False
