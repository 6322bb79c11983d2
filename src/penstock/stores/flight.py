"""Flight: one key being looked up or computed, and who waits for it."""

from __future__ import annotations

import asyncio
import enum
from typing import NamedTuple


class Lookup(NamedTuple):
    """What became of one key.

    Attributes:
        value: its value; an Exception that the computation put in its place; None: the
            computation had nothing to keep for it.
        hit: whether the store had it.
    """

    value: bytes | Exception | None
    hit: bool


class Landing(enum.Enum):
    """How a flight ended."""

    UNDER_WAY = enum.auto()
    LANDED = enum.auto()  # there is a lookup to share
    FAILED = enum.auto()  # nothing to share: whoever waited computes for itself
    ABANDONED = enum.auto()  # its owner was cancelled: whoever waited begins anew


class Flight:
    """One key under way. Landing it is its owner's duty, whatever happens.

    Attributes:
        landing: how it ended.
        lookup: what came of it; valid once LANDED.

    Concurrency: one event loop's thread.
    """

    __slots__ = ("_over", "landing", "lookup")

    def __init__(self) -> None:
        self.landing = Landing.UNDER_WAY
        self.lookup = Lookup(None, False)
        self._over: asyncio.Event | None = None

    def land(self, lookup: Lookup) -> None:
        """Share what came of it."""
        self.lookup = lookup
        self.end(Landing.LANDED)

    def end(self, landing: Landing) -> None:
        """End it so; a second end changes nothing."""
        if self.landing is Landing.UNDER_WAY:
            self.landing = landing
            if self._over is not None:
                self._over.set()

    async def wait(self) -> None:
        """Wait until it has ended. Whoever is cancelled here changes nothing for the others."""
        if self.landing is Landing.UNDER_WAY:
            if self._over is None:
                self._over = asyncio.Event()
            await self._over.wait()
