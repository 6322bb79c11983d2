"""Whether a model runs on the event loop or on its instance's thread. Pure.

A hop to a thread and back costs more than a tiny model computes; a slow model on the event loop
makes everybody wait. Decided from measured execution time, with hysteresis
(docs/decisions/0004-inline-execution.md).
"""

from __future__ import annotations

import msgspec


class InlineState(msgspec.Struct, frozen=True):
    """What is known of a model's execution time.

    Attributes:
        inline: where it runs now.
        mean_ns: moving average of one execution, in nanoseconds.
    """

    inline: bool
    mean_ns: float


ENTER_NS = 150_000
"""Below this average an execution moves onto the event loop."""

LEAVE_NS = 400_000
"""Above this average it moves back to its thread."""

_WEIGHT = 1 / 16
_CLAMP_NS = 4 * LEAVE_NS


def first_state(warm_up_ns: int, *, allowed: bool) -> InlineState:
    """The state of a model that has only been warmed up.

    Args:
        warm_up_ns: its shortest execution so far; it counts as any other execution does.
        allowed: whether model and manifest permit the event loop at all.
    """
    return InlineState(allowed and warm_up_ns < ENTER_NS, float(min(warm_up_ns, _CLAMP_NS)))


def next_state(state: InlineState, execute_ns: int, *, allowed: bool) -> InlineState:
    """The state after one more execution.

    One slow execution never tips the scale alone: it counts at most ``4 * LEAVE_NS``.
    """
    mean_ns = state.mean_ns + (min(execute_ns, _CLAMP_NS) - state.mean_ns) * _WEIGHT
    inline = allowed and mean_ns < (LEAVE_NS if state.inline else ENTER_NS)
    return InlineState(inline, mean_ns)
