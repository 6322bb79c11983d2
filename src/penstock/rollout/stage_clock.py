"""StageClock: how long a phase lasts, whatever is done to the machine's clock meanwhile."""

from __future__ import annotations

import msgspec

from penstock.core.clock import Clock
from penstock.rollout.state import RolloutState

_JUMP_MS = 1000
"""Two clocks that are further apart than this, in milliseconds: one of them was set."""


class StageClock:
    """Follows one rollout, or one experiment.

    The wall clock says when a phase began, since another process may have begun it; from then on
    the monotonic clock says how long it lasts. Where the process that decides changes while the
    wall clock jumps, the jump counts.

    Args:
        clock: both clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known_ms: tuple[int, ...] = ()
        self._began_ns = 0
        self._looked_ns = 0

    def look(self, state: RolloutState) -> tuple[RolloutState, int]:
        """The state and the time of now, in milliseconds since 1970, to decide with.

        Where the wall clock was set, the state's ``entered_ms`` is moved with it, so that the
        difference of the two is the time that has passed.
        """
        entered_ms, now_ms = self.since(state.entered_ms)
        return msgspec.structs.replace(state, entered_ms=entered_ms), now_ms

    def since(self, began_ms: int) -> tuple[int, int]:
        """When something began, and the time of now, so that the difference is what has passed.

        Args:
            began_ms: when, as it is written down, in milliseconds since 1970.
        """
        now_ns, now_ms = self._clock.monotonic_ns(), self._clock.wall_ns() // 1_000_000
        if began_ms not in self._known_ms:
            lasts_ns = max(0, now_ms - began_ms) * 1_000_000
            if self._known_ms:  # it began since the last look
                lasts_ns = min(lasts_ns, now_ns - self._looked_ns)
            self._began_ns = now_ns - lasts_ns
        self._looked_ns = now_ns
        moved_ms = now_ms - (now_ns - self._began_ns) // 1_000_000
        if abs(moved_ms - began_ms) <= _JUMP_MS:
            moved_ms = began_ms
        self._known_ms = (began_ms, moved_ms)
        return moved_ms, now_ms
