"""The pace: how much time shadows get, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.router.shadow_pace import (
    BURST_NS,
    BUSY_RATIO,
    MAX_WORK_NS,
    QUIET_RATIO,
    RETRY_NS,
    Pace,
)

MS = 1_000_000
PIECES = st.lists(
    st.tuples(st.integers(1, 2000 * MS), st.booleans(), st.integers(0, 50 * MS)), max_size=30
)


@given(PIECES)
def test_work_takes_no_more_than_its_share(pieces: list[tuple[int, bool, int]]) -> None:
    """Each piece: how long it takes, whether the moments before are quiet, a pause."""
    pace, now_ns, worked_ns = Pace(0), 0, 0
    for took_ns, is_quiet, pause_ns in pieces:
        now_ns += pause_ns
        while wait_ns := pace.wait_ns(now_ns, is_quiet=is_quiet):
            assert wait_ns > 0
            now_ns += wait_ns
        share = QUIET_RATIO if is_quiet else BUSY_RATIO
        assert worked_ns <= share * now_ns + 1
        now_ns += took_ns
        pace.worked(now_ns, took_ns)
        worked_ns += min(took_ns, MAX_WORK_NS)


def test_time_that_was_not_used_is_made_up_for_in_one_burst() -> None:
    pace = Pace(0)
    now_ns, took_ns, pieces = 10_000 * MS, MS // 10, 0
    pace.worked(now_ns, took_ns)
    while not pace.wait_ns(now_ns, is_quiet=True):
        pieces += 1
        pace.worked(now_ns, took_ns)
    assert pieces == BURST_NS * QUIET_RATIO / took_ns


def test_the_busy_share_has_no_burst() -> None:
    pace = Pace(0)
    now_ns = 10_000 * MS
    assert pace.wait_ns(now_ns, is_quiet=False) == 0
    pace.worked(now_ns, MS)
    assert pace.wait_ns(now_ns + 100 * MS, is_quiet=False) == RETRY_NS
    assert pace.wait_ns(now_ns + 200 * MS, is_quiet=False) == 0


def test_what_mostly_waits_does_not_stop_everything() -> None:
    pace = Pace(0)
    pace.worked(60_000 * MS, 60_000 * MS)
    assert pace.wait_ns(60_000 * MS, is_quiet=True) <= MAX_WORK_NS / QUIET_RATIO
