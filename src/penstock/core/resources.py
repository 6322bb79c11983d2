"""What a servable needs of the machine."""

from __future__ import annotations

from typing import NamedTuple


class ResourceEstimate(NamedTuple):
    """An upper guess of what a load will take.

    Attributes:
        ram_bytes: main memory, in bytes.
        guessed_bytes: the part of it that was concluded from other servables. It is a reason to
            make room or to wait, and none to refuse a load.
    """

    ram_bytes: int = 0
    guessed_bytes: int = 0

    def __add__(self, other: object) -> ResourceEstimate:
        if not isinstance(other, ResourceEstimate):
            return NotImplemented
        return ResourceEstimate(
            self.ram_bytes + other.ram_bytes, self.guessed_bytes + other.guessed_bytes
        )

    def cut(self, excess_bytes: int) -> ResourceEstimate:
        """So much less, as far as it is a guess."""
        less = min(max(0, excess_bytes), self.guessed_bytes)
        return ResourceEstimate(self.ram_bytes - less, self.guessed_bytes - less)

    def fits(self, available: ResourceEstimate) -> bool:
        """Whether all of it is available."""
        return self.ram_bytes <= available.ram_bytes
