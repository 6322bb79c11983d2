"""The circuit breaker's decisions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.breaker import CLOSED, BreakerOptions, BreakerState, admit, fail

S = 1_000_000_000
OPTIONS = BreakerOptions(failures=3, open_s=1.0, max_open_s=4.0)


def opened(now_ns: int = 10 * S) -> BreakerState:
    state = CLOSED
    for _ in range(OPTIONS.failures):
        state = fail(state, now_ns, now_ns, OPTIONS)
    return state


def test_a_closed_circuit_lets_everything_through() -> None:
    assert admit(CLOSED, 0, OPTIONS) == CLOSED
    almost = fail(fail(CLOSED, 0, 0, OPTIONS), 0, 0, OPTIONS)
    assert almost.failures == 2
    assert admit(almost, 0, OPTIONS) == almost


def test_enough_failures_open_it() -> None:
    state = opened()
    assert state.trips == 1
    assert admit(state, 10 * S, OPTIONS) is None
    assert admit(state, 11 * S - 1, OPTIONS) is None


def test_one_probe_at_a_time() -> None:
    probing = admit(opened(), 11 * S, OPTIONS)
    assert probing is not None
    assert admit(probing, 11 * S, OPTIONS) is None
    assert admit(probing, 12 * S, OPTIONS) is not None  # the probe was lost


def test_a_failed_probe_doubles_the_wait_up_to_the_longest() -> None:
    state, now_ns, waits = opened(), 10 * S, []
    for _ in range(4):
        waits.append((state.shut_until_ns - now_ns) / S)
        now_ns = state.shut_until_ns
        probing = admit(state, now_ns, OPTIONS)
        assert probing is not None
        state = fail(probing, now_ns, now_ns, OPTIONS)
    assert waits == [1.0, 2.0, 4.0, 4.0]


def test_late_news_changes_nothing() -> None:
    state = opened(10 * S)
    assert fail(state, 9 * S, 10 * S + 1, OPTIONS) == state


def test_calls_that_fail_together_are_one_failure() -> None:
    state = CLOSED
    for number in range(100):
        state = fail(state, 10 * S, 11 * S + number, OPTIONS)
    assert state.failures == 1
    assert admit(state, 12 * S, OPTIONS) == state


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.integers(0, S), st.booleans()), max_size=60))
def test_laws(calls: list[tuple[int, int, bool]]) -> None:
    """Whatever happens: a failing store is asked more and more rarely, and never given up."""
    state, now_ns = CLOSED, 0
    for pause_ns, took_ns, is_ok in calls:
        now_ns += pause_ns
        admitted = admit(state, now_ns, OPTIONS)
        assert (admitted is None) == (bool(state.trips) and now_ns < state.shut_until_ns)
        assert state.shut_until_ns <= now_ns + int(OPTIONS.max_open_s * S)
        if admitted is None:
            continue
        if state.trips:
            assert admit(admitted, now_ns, OPTIONS) is None
        started_ns, now_ns = now_ns, now_ns + took_ns
        state = CLOSED if is_ok else fail(admitted, started_ns, now_ns, OPTIONS)
        assert state.failures < OPTIONS.failures
