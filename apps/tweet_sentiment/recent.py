"""Recent: the answers of the last minute, in memory, so that a busy tweet costs no round trip."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from apps.tweet_sentiment.record import Record

MAX_AGE_S = 60.0
"""After this the store is asked again: what another process deleted is gone here too by then."""


class Recent:
    """A bounded memory of records by key.

    Args:
        max_records: the oldest go first; 0: remembers nothing.
        now: the monotonic clock, in seconds.
    """

    def __init__(self, max_records: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._max_records = max_records
        self._now = now
        self._records: OrderedDict[str, tuple[float, Record]] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._records)

    def get(self, key: str) -> Record | None:
        """The record of a key; None: not remembered, or for too long."""
        found = self._records.get(key)
        if found is None or found[0] <= self._now() - MAX_AGE_S:
            return None
        return found[1]

    def put(self, key: str, record: Record) -> None:
        """Remember a record."""
        if not self._max_records:
            return
        self._records[key] = (self._now(), record)
        self._records.move_to_end(key)
        if len(self._records) > self._max_records:
            self._records.popitem(last=False)

    def clear(self) -> None:
        """Forget them all."""
        self._records.clear()
