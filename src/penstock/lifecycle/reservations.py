"""Reservations: memory promised to loads that are on their way, and held by what is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.core.byte_size import show_bytes
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.core.resources import ResourceEstimate

_NOTHING: Final = ResourceEstimate()


class Reservations:
    """What may still be loaded: what is free on the machine, and what is left of the budget.

    A load takes its memory bit by bit, so what the machine reports as free lies until it is done.

    Args:
        available: what is free on the machine now.
        budget_bytes: the most all loaded versions may hold together; 0: what the machine has.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, available: Callable[[], ResourceEstimate], budget_bytes: int = 0) -> None:
        self._available = available
        self._budget_bytes = budget_bytes
        self._reserved: dict[int, ResourceEstimate] = {}
        self._held: dict[int, ResourceEstimate] = {}

    @property
    def held_bytes(self) -> int:
        """What all loaded versions hold."""
        return sum(one.ram_bytes for one in self._held.values())

    @property
    def excess_bytes(self) -> int:
        """What is held and promised beyond the budget; <= 0: nothing is."""
        if not self._budget_bytes:
            return 0
        return self.held_bytes + self._reserved_bytes - self._budget_bytes

    def missing_bytes(self, estimate: ResourceEstimate) -> int:
        """What is missing for that much; <= 0: nothing is."""
        return estimate.ram_bytes - self._free_bytes()

    def fits(self, estimate: ResourceEstimate) -> bool:
        """Whether that much is free."""
        return not estimate.ram_bytes or self.missing_bytes(estimate) <= 0

    def reserve(self, key: int, estimate: ResourceEstimate) -> None:
        """Promise ``estimate`` to the load ``key``."""
        self._reserved[key] = estimate

    def hold(self, key: int, actual: ResourceEstimate) -> None:
        """The load ``key`` has ended well, and holds that much until it is released.

        What is still a guess takes no more than it was promised.
        """
        promised = self._reserved.pop(key)
        self._held[key] = actual.cut(actual.ram_bytes - promised.ram_bytes)

    def forget_guesses(self) -> None:
        """Count everyone as what is known of it alone: a guess keeps nobody out."""
        for books in (self._reserved, self._held):
            books.update({key: one.cut(one.guessed_bytes) for key, one in books.items()})

    def release(self, key: int) -> None:
        """The load ``key`` has failed, or what it brought is unloaded."""
        self._reserved.pop(key, None)
        self._held.pop(key, None)

    def of(self, key: int) -> int:
        """What ``key`` was promised or holds, in bytes."""
        return (self._held.get(key) or self._reserved.get(key, _NOTHING)).ram_bytes

    def refusal(self, servable_id: ServableId, estimate: ResourceEstimate) -> LoadFailed:
        """The error of a version that does not fit, now or ever; names both numbers."""
        needs = f"{servable_id} needs {show_bytes(estimate.ram_bytes, round_up=True)} of memory"
        budget_bytes = self._budget_bytes
        if budget_bytes and estimate.ram_bytes > budget_bytes:
            return LoadFailed(
                f"{needs}, more than the whole budget of {show_bytes(budget_bytes)}: "
                "raise memory.budget_bytes"
            )
        of_budget = ""
        if budget_bytes and budget_bytes - self.held_bytes <= self._available().ram_bytes:
            of_budget = f" of the budget of {show_bytes(budget_bytes)}"
        free = show_bytes(max(0, self._free_bytes()))
        return LoadFailed(
            f"{needs}, and there is no room now: {free}{of_budget} are free", retryable=True
        )

    def _free_bytes(self) -> int:
        """What is available and promised to nobody; negative where more is held than should be."""
        free_bytes = self._available().ram_bytes
        if self._budget_bytes:
            free_bytes = min(free_bytes, self._budget_bytes - self.held_bytes)
        return free_bytes - self._reserved_bytes

    @property
    def _reserved_bytes(self) -> int:
        return sum(one.ram_bytes for one in self._reserved.values())
