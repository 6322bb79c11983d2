"""When a model runs on the event loop."""

import pytest

from penstock.scheduler.inline_policy import (
    ENTER_NS,
    LEAVE_NS,
    InlineState,
    first_state,
    next_state,
)


@pytest.mark.parametrize(
    ("warm_up_ns", "allowed", "inline"),
    [
        (0, True, True),
        (ENTER_NS - 1, True, True),
        (ENTER_NS, True, False),
        (0, False, False),
        (2**62, True, False),
    ],
)
def test_the_first_state(warm_up_ns: int, *, allowed: bool, inline: bool) -> None:
    assert first_state(warm_up_ns, allowed=allowed).inline is inline


def test_a_model_that_was_never_warmed_up_is_soon_known() -> None:
    state = first_state(2**62, allowed=True)
    executions = 0
    while not state.inline:
        state = next_state(state, 10_000, allowed=True)
        executions += 1
    assert executions < 50


def test_one_slow_execution_does_not_tip_the_scale() -> None:
    state = first_state(50_000, allowed=True)
    assert next_state(state, 10**12, allowed=True).inline


def test_many_do() -> None:
    state = first_state(50_000, allowed=True)
    for _ in range(16):
        state = next_state(state, 10 * LEAVE_NS, allowed=True)
    assert not state.inline


@pytest.mark.parametrize("inline", [True, False])
def test_between_the_bounds_it_stays_where_it_is(*, inline: bool) -> None:
    state = InlineState(inline, (ENTER_NS + LEAVE_NS) / 2)
    for _ in range(100):
        state = next_state(state, (ENTER_NS + LEAVE_NS) // 2, allowed=True)
        assert state.inline is inline


def test_what_is_not_allowed_never_is() -> None:
    state = InlineState(inline=False, mean_ns=1.0)
    assert not next_state(state, 1, allowed=False).inline
