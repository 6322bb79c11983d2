"""How long a phase lasts, while somebody plays with the machine's clock."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.rollout.stage_clock import StageClock
from penstock.rollout.state import Phase, RolloutState
from penstock.testing.fake_clock import FakeClock
from tests.unit.rollout.rollouts import a_state


class JumpingClock(FakeClock):
    """A clock whose wall time can be set."""

    def jump(self, seconds: float) -> None:
        self._wall_ns += round(seconds * 1e9)

    @property
    def now_ms(self) -> int:
        return self.wall_ns() // 1_000_000


def entered(at_ms: int) -> RolloutState:
    return msgspec.structs.replace(a_state(Phase.CANARY), entered_ms=at_ms)


def lasts_s(follower: StageClock, state: RolloutState) -> float:
    shown, now_ms = follower.look(state)
    return (now_ms - shown.entered_ms) / 1000


def test_a_quiet_clock_changes_nothing() -> None:
    clock = JumpingClock()
    follower, state = StageClock(clock), entered(clock.now_ms)
    for _ in range(3):
        clock.advance(7)
        assert follower.look(state) == (state, clock.now_ms)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), max_size=20))
def test_no_jump_makes_a_phase_longer_or_shorter(steps: list[tuple[float, float]]) -> None:
    clock = JumpingClock()
    follower, state = StageClock(clock), entered(clock.now_ms)
    assert lasts_s(follower, state) == 0
    total_s = 0.0
    for advance_s, jump_s in steps:
        clock.advance(advance_s)
        clock.jump(jump_s)
        total_s += advance_s
        assert abs(lasts_s(follower, state) - total_s) <= 1.01


def test_the_next_phase_begins_with_nothing_after_a_jump() -> None:
    clock = JumpingClock()
    follower = StageClock(clock)
    follower.look(entered(clock.now_ms))
    clock.jump(-3600)
    clock.advance(5)
    shown, now_ms = follower.look(entered(clock.now_ms + 3_600_000 - 5_000))
    assert now_ms - shown.entered_ms == 5000
    follower.look(entered(now_ms))
    clock.advance(2)
    assert lasts_s(follower, entered(now_ms)) == 2


def test_a_state_that_was_written_back_is_the_same_phase() -> None:
    clock = JumpingClock()
    follower, state = StageClock(clock), entered(clock.now_ms)
    follower.look(state)
    clock.advance(50)
    clock.jump(1000)
    shown, _ = follower.look(state)
    clock.advance(1)
    assert lasts_s(follower, shown) == 51


def test_who_takes_over_believes_the_wall_clock() -> None:
    clock = JumpingClock()
    assert lasts_s(StageClock(clock), entered(clock.now_ms - 90_000)) == 90
    assert lasts_s(StageClock(clock), entered(clock.now_ms + 90_000)) == 0
