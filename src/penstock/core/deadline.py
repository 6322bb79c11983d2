"""Deadline: the instant by which a request must have its outcome."""

from __future__ import annotations

import math
from typing import NamedTuple

from penstock.core.errors import InvalidArgument


class Deadline(NamedTuple):
    """An absolute instant on the monotonic clock.

    Attributes:
        at_ns: monotonic nanoseconds.
    """

    at_ns: int

    @classmethod
    def after(cls, timeout_s: float, now_ns: int) -> Deadline:
        """The instant ``timeout_s`` seconds from ``now_ns``.

        Raises:
            InvalidArgument: ``timeout_s`` is no number, or too large for a clock.
        """
        left_ns = timeout_s * 1e9
        if not math.isfinite(left_ns):
            raise InvalidArgument(f"timeout: expected a finite number of seconds, got {timeout_s}")
        return cls(now_ns + int(left_ns))

    def remaining_s(self, now_ns: int) -> float:
        """Seconds left; negative once it is over."""
        return (self.at_ns - now_ns) / 1e9

    def expired(self, now_ns: int) -> bool:
        """True from the instant itself on."""
        return now_ns >= self.at_ns
