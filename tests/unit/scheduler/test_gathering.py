"""Gathering decides from how many requests came in the last turns of the event loop."""

from __future__ import annotations

import pytest

from penstock.scheduler.gathering import Gathering


def turns(gathering: Gathering, count: int, num_requests: int) -> None:
    for _ in range(count):
        assert [gathering.arrived() for _ in range(num_requests)] == [
            True,
            *[False] * (num_requests - 1),
        ]
        gathering.turn_over()


@pytest.mark.parametrize("num_requests", [1, 2])
def test_few_in_a_turn_run_at_once(num_requests: int) -> None:
    gathering = Gathering()
    turns(gathering, 100, num_requests)
    assert not gathering.pays


def test_many_in_a_turn_gather_and_stop_when_they_are_few() -> None:
    gathering = Gathering()
    turns(gathering, 1, 32)
    assert gathering.pays
    turns(gathering, 20, 1)
    assert not gathering.pays


def test_a_turn_of_many_among_few_is_not_enough() -> None:
    gathering = Gathering()
    turns(gathering, 10, 1)
    turns(gathering, 1, 5)
    assert not gathering.pays
