"""Whether a serving process still answers. No clock."""

from __future__ import annotations

MAX_UNANSWERED = 6
"""Counted, not timed: a machine that slept has asked no more often than before."""


class Pulse:
    """Keeps count of what a process was asked and has not answered."""

    def __init__(self) -> None:
        self._unanswered = 0

    def ask(self) -> bool:
        """It is asked once more; False: it has been silent for too long, and need not be."""
        if self._unanswered >= MAX_UNANSWERED:
            return False
        self._unanswered += 1
        return True

    def answered(self) -> None:
        """It lives."""
        self._unanswered = 0
