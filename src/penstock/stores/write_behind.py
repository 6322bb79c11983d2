"""WriteBehind: items are written after the answer is out: bounded, batched, drained at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import islice, takewhile
from typing import NamedTuple

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Backend, Item
from penstock.stores.guard import Guard
from penstock.telemetry.store_stats import StoreStats

_log = logging.getLogger("penstock.stores")

_OVERHEAD_BYTES = 256
_BATCH_ITEMS = 256
_MAX_ATTEMPTS = 12
_DRAIN_PAUSE_S = 0.05

Sleep = Callable[[float], Awaitable[None]]


def item_bytes(item: Item) -> int:
    """About the bytes of memory that an item takes while it waits."""
    increments = sum(len(i.key) + len(i.field) + _OVERHEAD_BYTES for i in item.increments)
    return len(item.key) + len(item.value) + increments + _OVERHEAD_BYTES


class _Waiting(NamedTuple):
    item: Item
    ttl_s: float | None


class WriteBehind:
    """Keeps items until the store has them. What is there already is not written again.

    Laws: never more than ``max_items`` and ``max_bytes`` wait; an item beyond that is dropped at
    once and counted. While the store fails, what waits goes on waiting; a batch that the store
    has refused a dozen times is dropped and counted.

    Args:
        backend: the store.
        guard: how it is asked.
        stats: where items are counted.
        ttl_s: seconds until an item expires that comes without an expiry of its own.
        max_items, max_bytes: bounds of what waits.
        sleep: how a pause is made while draining.

    Concurrency: one event loop's thread. One task writes while something waits.
    """

    def __init__(
        self,
        backend: Backend,
        guard: Guard,
        stats: StoreStats,
        *,
        ttl_s: float | None,
        max_items: int,
        max_bytes: int,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._backend = backend
        self._guard = guard
        self._stats = stats
        self._ttl_s = ttl_s
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._sleep = sleep
        self._pending: dict[str, _Waiting] = {}
        self._num_bytes = 0
        self._attempts = 0
        self._writer: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._is_closed = False

    def get(self, key: str) -> bytes | None:
        """The value that waits to be written under this key."""
        waiting = self._pending.get(key)
        return None if waiting is None else waiting.item.value

    def put(self, items: Iterable[Item], ttl_s: float | None = None) -> None:
        """Write items soon; never blocks, never raises. ``ttl_s`` None: as all others."""
        pending = self._pending
        ttl_s = self._ttl_s if ttl_s is None else ttl_s
        for item in items:
            if item.key in pending:
                continue
            num_bytes = item_bytes(item)
            if self._is_closed:
                self._drop("closed", 1)
            elif len(pending) >= self._max_items or self._num_bytes + num_bytes > self._max_bytes:
                self._drop("queue_full", 1)
            else:
                pending[item.key] = _Waiting(item, ttl_s)
                self._num_bytes += num_bytes
        self._count()
        if self._writer is None and self._retry is None and pending:
            self._start()

    async def drain(self, timeout_s: float) -> int:
        """Write everything that waits, asking the store even where the breaker would not.

        Args:
            timeout_s: how long that may take, in seconds.

        Returns:
            how many items could not be written; they are dropped and counted.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._drain()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        self._cancel_retry()
        left = len(self._pending)
        if left:
            self._forget([waiting.item for waiting in self._pending.values()])
            self._drop("not_drained", left)
        self._count()
        return left

    async def close(self, timeout_s: float) -> int:
        """Take nothing more, and drain; how many items could not be written."""
        self._is_closed = True
        return await self.drain(timeout_s)

    async def _drain(self) -> None:
        if self._writer is not None:
            await asyncio.wait([self._writer])
        while self._pending:
            self._cancel_retry()
            if not await self._write_batch(force=True):
                await self._sleep(_DRAIN_PAUSE_S)

    def _start(self) -> None:
        self._retry = None
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="write-behind")

    async def _write(self) -> None:
        """Write until nothing waits, or the store fails: then try again later."""
        try:
            while self._pending:
                if not await self._write_batch():
                    delay_s = max(self._guard.wait_s, _DRAIN_PAUSE_S)
                    loop = asyncio.get_running_loop()
                    self._retry = loop.call_later(delay_s, self._start)
                    return
        finally:
            self._writer = None

    async def _write_batch(self, *, force: bool = False) -> bool:
        """Write the oldest items of one expiry; False: the store failed and they wait on."""
        oldest = list(islice(self._pending.values(), _BATCH_ITEMS))
        ttl_s = oldest[0].ttl_s
        batch = [waiting.item for waiting in takewhile(lambda w: w.ttl_s == ttl_s, oldest)]
        write = partial(self._backend.set_many, batch, ttl_s=ttl_s, only_new=True)
        try:
            written = await self._guard.call(write, force=force)
        except StoreError as err:
            self._attempts += err.fault is not StoreFault.SKIPPED
            if self._attempts >= _MAX_ATTEMPTS:
                self._attempts = 0
                self._forget(batch)
                self._drop(err.fault, len(batch))
            return False
        self._attempts = 0
        self._stats.written += sum(written)
        self._forget(batch)
        self._count()
        return True

    def _forget(self, items: list[Item]) -> None:
        for item in items:
            if self._pending.pop(item.key, None) is not None:
                self._num_bytes -= item_bytes(item)

    def _drop(self, reason: str, items: int) -> None:
        if reason not in self._stats.dropped:
            _log.warning(
                "store '%s': items are dropped, not written (%s); see penstock_store_dropped_total",
                self._stats.name,
                reason,
            )
        self._stats.drop(reason, items)

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _count(self) -> None:
        self._stats.pending_items = len(self._pending)
        self._stats.pending_bytes = self._num_bytes
