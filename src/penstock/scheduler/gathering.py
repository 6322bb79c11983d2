"""Gathering: whether requests that come thick are better answered together on the event loop.

A model that runs on the event loop never has a queue: each request could be answered at once.
Where many come in one turn of the loop, one execution of them all costs less than one of each
(docs/decisions/0004-inline-execution.md). Decided from how many came in each of the last turns;
no clock is read here.
"""

from __future__ import annotations

PAYS_FROM = 2.5
"""Gathering pays where so many requests come in a turn, on average."""


class Gathering:
    """The state of one model's decision. Owned by the event loop's thread.

    Attributes:
        pays: whether the requests of a turn should wait for each other.
    """

    __slots__ = ("_count", "_mean", "pays")

    def __init__(self) -> None:
        self.pays = False
        self._count = 0
        self._mean = 0.0

    def arrived(self) -> bool:
        """Take note of a request; whether it is the first of this turn."""
        self._count += 1
        return self._count == 1

    def turn_over(self) -> None:
        """Take note that the turn is over whose first request was told of."""
        self._mean += (self._count - self._mean) / 4
        self._count = 0
        self.pays = self._mean >= PAYS_FROM
