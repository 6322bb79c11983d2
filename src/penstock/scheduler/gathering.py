"""Gathering: whether requests that come thick are better answered together on the event loop.

A model that runs on the event loop never has a queue: each request could be answered at once.
Where many come in one turn of the loop, one execution of them all costs less than one of each
(docs/decisions/0004-inline-execution.md). Decided from arrival times and from what gathering
has lately found; no clock is read here.
"""

from __future__ import annotations

THICK_NS = 150_000
"""Requests that arrive within this of each other may be of one turn of the event loop."""

PAYS_FROM = 2.5
"""Gathering pays where it finds at least so many requests on average."""

PROBE_EVERY = 32
"""Where it does not pay, one of so many requests tries whether it would by now."""


class Gathering:
    """The state of one model's decision. Owned by the event loop's thread."""

    __slots__ = ("_last_arrival_ns", "_mean", "_num_alone")

    def __init__(self) -> None:
        self._last_arrival_ns = -THICK_NS
        self._mean = 0.0
        self._num_alone = 0

    def is_alone(self, arrived_ns: int) -> bool:
        """Whether to run the request that arrives now at once; False: gather.

        Args:
            arrived_ns: monotonic nanoseconds, never less than at the call before.
        """
        since_last_ns = arrived_ns - self._last_arrival_ns
        self._last_arrival_ns = arrived_ns
        if since_last_ns > THICK_NS:
            return True
        self._num_alone += 1
        return self._mean < PAYS_FROM and self._num_alone % PROBE_EVERY != 0

    def gathered(self, num_requests: int) -> None:
        """Take note of how many requests one gathering found."""
        self._mean += (num_requests - self._mean) / 4
