"""Pace: how much of its time a server gives to shadows. Pure.

Two budgets, both shares of the time that passes. One is for the moments in which nothing else
waits; the other, far smaller, for any moment, so that a server which is never quiet still gathers
evidence. Figures: benchmarks/results/shadow.json.
"""

from __future__ import annotations

QUIET_RATIO = 0.02
"""The most of the time that goes to shadows, while nobody else wants it: so many of the requests
meet one at work, at most, however long its work takes."""

BUSY_RATIO = 0.005
"""The part of the time that goes to shadows, whoever wants it."""

BURST_NS = 50_000_000
"""Time that was not used can be made up for, up to so much."""

RETRY_NS = 1_000_000
"""How soon another quiet moment is looked for."""

MAX_WORK_NS = 1_000_000_000
"""One piece of work counts at most so much: what takes longer mostly waits."""


class Pace:
    """When work for a shadow may begin.

    Law: over any span the work's time is at most ``QUIET_RATIO`` of it, and begun outside of
    quiet moments at most ``BUSY_RATIO``, but for one burst, the piece of work at its end, and what
    goes beyond ``MAX_WORK_NS`` of a piece.

    Args:
        now_ns: monotonic time.
    """

    def __init__(self, now_ns: int) -> None:
        self._quiet_from_ns = now_ns
        self._busy_from_ns = now_ns

    def wait_ns(self, now_ns: int, *, is_quiet: bool) -> int:
        """How long until work may begin; 0: now.

        Args:
            now_ns: monotonic time.
            is_quiet: whether nothing else waits at this moment.
        """
        if now_ns >= self._busy_from_ns:
            return 0
        wait_ns = max(0, self._quiet_from_ns - now_ns)
        if is_quiet:
            return wait_ns
        return min(max(wait_ns, RETRY_NS), self._busy_from_ns - now_ns)

    def worked(self, now_ns: int, took_ns: int) -> None:
        """A piece of work has ended that took so long."""
        took_ns = min(took_ns, MAX_WORK_NS)
        earliest_ns = now_ns - BURST_NS
        self._quiet_from_ns = _next(self._quiet_from_ns, earliest_ns, took_ns, QUIET_RATIO)
        self._busy_from_ns = _next(self._busy_from_ns, now_ns, took_ns, BUSY_RATIO)


def _next(from_ns: int, earliest_ns: int, took_ns: int, ratio: float) -> int:
    return max(from_ns, earliest_ns) + round(took_ns / ratio)
