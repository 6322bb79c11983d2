"""Reservations: memory promised to loads that are on their way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.core.resources import ResourceEstimate

_MIB: Final = 1024 * 1024


class Reservations:
    """What is free on the machine, less what loads in flight were promised.

    A load takes its memory bit by bit, so what the machine reports as free lies until it is done.

    Args:
        available: what is free on the machine now.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, available: Callable[[], ResourceEstimate]) -> None:
        self._available = available
        self._reserved: dict[int, ResourceEstimate] = {}

    def free(self) -> ResourceEstimate:
        """What is available and promised to nobody."""
        reserved_bytes = sum(one.ram_bytes for one in self._reserved.values())
        return ResourceEstimate(max(0, self._available().ram_bytes - reserved_bytes))

    def fits(self, estimate: ResourceEstimate) -> bool:
        """Whether that much is free."""
        return estimate.fits(self.free())

    def reserve(self, key: int, estimate: ResourceEstimate) -> None:
        """Promise ``estimate`` to the load ``key`` until it is released."""
        self._reserved[key] = estimate

    def release(self, key: int) -> None:
        """The load ``key`` has ended, one way or the other."""
        del self._reserved[key]

    def refusal(self, servable_id: ServableId, estimate: ResourceEstimate) -> LoadFailed:
        """The error of a version that does not fit; names both numbers."""
        return LoadFailed(
            f"{servable_id} needs {-(-estimate.ram_bytes // _MIB)} MiB of memory, "
            f"{self.free().ram_bytes // _MIB} MiB are available",
            retryable=True,
        )
