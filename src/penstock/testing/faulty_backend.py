"""FaultyBackend: a store that fails or hangs when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from penstock.core.errors import StoreError
from penstock.stores.backend import Backend, Increment, Item


class FaultyBackend:
    """A ``Backend`` in front of another one; until it is told otherwise, it passes everything on.

    Args:
        inner: what works behind it.

    Attributes:
        calls: the name of each call so far, in order, failures included.
        max_items: the most items, keys or increments one call has brought.

    Concurrency: one event loop's thread.
    """

    def __init__(self, inner: Backend) -> None:
        self.calls: list[str] = []
        self.max_items = 0
        self._inner = inner
        self._error: BaseException | None = None
        self._healed = asyncio.Event()
        self._healed.set()
        self._called = asyncio.Event()

    def fail(self, error: BaseException | None = None) -> None:
        """From now on every call raises ``error``; None: a StoreError."""
        self._error = error or StoreError("told to fail")

    def hang(self) -> None:
        """From now on every call waits until ``heal``."""
        self._healed.clear()

    def heal(self) -> None:
        """From now on every call works, those that hang included."""
        self._error = None
        self._healed.set()

    async def wait_for_calls(self, count: int) -> None:
        """Wait until that many calls have begun, since the start."""
        while len(self.calls) < count:
            self._called.clear()
            await self._called.wait()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Backend.get_many``."""
        await self._enter("get_many", len(keys))
        return await self._inner.get_many(keys)

    async def set_many(
        self, items: Sequence[Item], *, ttl_s: float | None = None, only_new: bool = False
    ) -> list[bool]:
        """See ``Backend.set_many``."""
        await self._enter("set_many", len(items))
        return await self._inner.set_many(items, ttl_s=ttl_s, only_new=only_new)

    async def expire(self, keys: Sequence[str], ttl_s: float | None) -> int:
        """See ``Backend.expire``."""
        await self._enter("expire", len(keys))
        return await self._inner.expire(keys, ttl_s)

    async def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend.delete``."""
        await self._enter("delete", len(keys))
        return await self._inner.delete(keys)

    async def clear(self, prefix: str) -> int:
        """See ``Backend.clear``."""
        await self._enter("clear")
        return await self._inner.clear(prefix)

    async def scan(self, prefix: str, *, page: int = 1000) -> AsyncIterator[list[Item]]:
        """See ``Backend.scan``."""
        await self._enter("scan")
        async for items in self._inner.scan(prefix, page=page):
            yield items

    async def increment(self, increments: Sequence[Increment]) -> None:
        """See ``Backend.increment``."""
        await self._enter("increment", len(increments))
        await self._inner.increment(increments)

    async def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """See ``Backend.counters``."""
        await self._enter("counters", len(keys))
        return await self._inner.counters(keys)

    async def ping(self) -> None:
        """See ``Backend.ping``."""
        await self._enter("ping")
        await self._inner.ping()

    async def close(self) -> None:
        """Close what works behind it."""
        self.calls.append("close")
        await self._inner.close()

    async def _enter(self, call: str, items: int = 0) -> None:
        self.calls.append(call)
        self.max_items = max(self.max_items, items)
        self._called.set()
        await self._healed.wait()
        if self._error is not None:
            raise self._error
