"""What a servable needs of the machine."""

from __future__ import annotations

from typing import NamedTuple


class ResourceEstimate(NamedTuple):
    """An upper guess of what a load will take.

    Attributes:
        ram_bytes: main memory, in bytes.
    """

    ram_bytes: int = 0

    def __add__(self, other: object) -> ResourceEstimate:
        if not isinstance(other, ResourceEstimate):
            return NotImplemented
        return ResourceEstimate(self.ram_bytes + other.ram_bytes)

    def fits(self, available: ResourceEstimate) -> bool:
        """Whether all of it is available."""
        return self.ram_bytes <= available.ram_bytes
