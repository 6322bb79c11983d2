"""Pruning: when an experiment log forgets what is old, and that no write fails of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from penstock.core.errors import StoreError

_log = logging.getLogger("penstock.stores")

PRUNE_EVERY_S = 3600.0
_RETRY_S = 60.0


class Pruning:
    """Forgets a piece of what is old after a write: once an hour, then with each write until
    nothing old is left.

    Law: never raises StoreError; a failure is logged once until one succeeds.

    Args:
        forget_piece: forgets some, and says whether there may be more.
        monotonic_ns: the time.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self, forget_piece: Callable[[], Awaitable[bool]], monotonic_ns: Callable[[], int]
    ) -> None:
        self._forget_piece = forget_piece
        self._monotonic_ns = monotonic_ns
        self._due_ns = monotonic_ns()
        self._is_failing = False

    async def turn(self) -> None:
        """Forget a piece if it is time. Called after a write is committed."""
        now_ns = self._monotonic_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + round(PRUNE_EVERY_S * 1e9)  # others need not try meanwhile
        try:
            if await self._forget_piece():
                self._due_ns = now_ns
            self._is_failing = False
        except StoreError as err:
            self._due_ns = now_ns + round(_RETRY_S * 1e9)
            if not self._is_failing:
                _log.warning("the experiment log does not forget what is old: %s", err.message)
            self._is_failing = True
