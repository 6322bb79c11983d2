"""Shares of requests while it is learnt which variant is best."""

from __future__ import annotations

import pytest

from penstock.evidence.thompson import shares


def test_nothing_known_is_about_even() -> None:
    found = shares({"a": 0, "b": 0, "c": 0}, {}, 0.0, seed=1)

    assert list(found) == ["a", "b", "c"]
    assert all(share == pytest.approx(1 / 3, abs=0.04) for share in found.values())


def test_the_better_one_gets_more_and_the_other_its_floor() -> None:
    found = shares({"a": 500, "b": 600}, {"a": 500, "b": 400}, 0.1, seed=1)

    assert found == {"a": pytest.approx(0.1), "b": pytest.approx(0.9)}


def test_some_evidence_is_some_difference() -> None:
    found = shares({"a": 10, "b": 13}, {"a": 10, "b": 7}, 0.05, seed=1)

    assert 0.1 < found["a"] < 0.3


def test_the_same_seed_gives_the_same_shares_and_another_nearly_so() -> None:
    counts = {"a": 30.5, "b": 33.0}, {"a": 70.0, "b": 60.25}

    one, other = shares(*counts, 0.05, seed=1), shares(*counts, 0.05, seed=2)

    assert one == shares(*counts, 0.05, seed=1)
    assert one != other
    assert one == pytest.approx(other, abs=0.05)


@pytest.mark.parametrize("floor_ratio", [0.5, 0.9])
def test_a_floor_that_leaves_nothing_is_even(floor_ratio: float) -> None:
    assert shares({"a": 9}, {"b": 9}, floor_ratio, seed=1) == {"a": 0.5, "b": 0.5}


def test_who_stands_in_one_of_the_two_only_is_there() -> None:
    assert set(shares({"a": 9}, {"b": 9}, 0.1, seed=1)) == {"a", "b"}
    assert shares({}, {}, 0.1, seed=1) == {}
    assert shares({"a": 10**9}, {"a": 10**9}, 0.1, seed=1) == {"a": 1.0}
