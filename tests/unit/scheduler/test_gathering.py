"""Gathering decides from arrival times and from what it lately found."""

from __future__ import annotations

from penstock.scheduler.gathering import PROBE_EVERY, THICK_NS, Gathering


def decisions(gathering: Gathering, count: int, gap_ns: int) -> list[bool]:
    return [gathering.is_alone(10**9 + number * gap_ns) for number in range(count)]


def test_requests_far_apart_always_run_at_once() -> None:
    gathering = Gathering()
    gathering.gathered(100)
    assert all(decisions(gathering, 100, THICK_NS + 1))


def test_thick_requests_probe_now_and_then() -> None:
    alone = decisions(Gathering(), 2 * PROBE_EVERY + 1, 1)
    assert alone.count(False) == 2


def test_thick_requests_gather_while_it_pays_and_stop_when_it_does_not() -> None:
    gathering = Gathering()
    gathering.gathered(20)
    assert decisions(gathering, 5, 1) == [True, False, False, False, False]
    for _ in range(20):
        gathering.gathered(1)
    assert all(decisions(gathering, 5, 1))
