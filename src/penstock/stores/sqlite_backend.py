"""SqliteBackend: a store in one file, for a machine that needs no server.

Lookups run on a thread of their own: a disk may hang, and the event loop must not. What waits for
the thread goes out together, so that under load a hop is paid for many
(docs/decisions/0009-prediction-store.md has the figures).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import StoreError, StoreFault
from penstock.stores import sqlite_statements as sql
from penstock.stores.backend import Increment, Item
from penstock.stores.grouped_reads import GroupedReads

T = TypeVar("T")

_MAX_WAITING = 64
_PAGE = 1000


class _Lane:
    """One thread with its own connection, opened by the first call that succeeds in it.

    Concurrency: ``run`` on the event loop's thread; the connection is used by the lane's thread.
    """

    def __init__(self, path: str, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._name = f"sqlite:///{path}"
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="penstock-sqlite")
        self._db: sqlite3.Connection | None = None
        self._waiting = 0
        self._is_closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` on the thread.

        Raises:
            StoreError: SQLite refused, or too much waits for the thread.
        """
        if self._is_closed:
            raise StoreError(f"{self._name} is closed", fault=StoreFault.CLOSED)
        if self._waiting >= _MAX_WAITING:
            raise StoreError(f"{self._name}: too many calls wait", fault=StoreFault.BUSY)
        future = self._executor.submit(self._do, work)
        self._waiting += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Wait for what the thread is at, and end it."""
        if not self._is_closed:
            self._is_closed = True
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, self._close)
            self._executor.shutdown(wait=False)

    def _done(self) -> None:
        self._waiting -= 1

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._db is None:
                self._db = sql.connect(self._path, max_bytes=self._max_bytes)
            return work(self._db)
        except sqlite3.Error as err:
            raise sql.store_error(err, self._name) from err

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


class SqliteBackend:
    """A ``Backend`` in a SQLite file, in WAL mode: readers and the writer do not wait for another.

    ``synchronous=NORMAL``: what was written survives the process; a power cut may take the last
    moments. Items that expired are not given out, and are deleted some at a time with each write.

    Args:
        path: the file; made by the first call, its folder must be there.
        max_bytes: the most it may grow to; 0: no bound. What is beyond is refused (fault
            ``full``) until something expires.
        clock: what expiry is measured by: the wall clock, as processes share the file.
    """

    def __init__(self, path: str, *, max_bytes: int = 0, clock: Clock | None = None) -> None:
        self._wall_ns = (clock or SystemClock()).wall_ns
        self._reader = _Lane(path, max_bytes)
        self._writer = _Lane(path, max_bytes)
        self._reads = GroupedReads(self._fetch)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Backend.get_many``."""
        return await self._reads.get_many(keys)

    async def set_many(
        self, items: Sequence[Item], *, ttl_s: float | None = None, only_new: bool = False
    ) -> list[bool]:
        """See ``Backend.set_many``. One transaction."""
        now_ms, expires_ms = self._times(ttl_s)
        return await self._writer.run(
            lambda db: sql.set_many(db, items, expires_ms, now_ms, only_new)
        )

    async def expire(self, keys: Sequence[str], ttl_s: float | None) -> int:
        """See ``Backend.expire``."""
        now_ms, expires_ms = self._times(ttl_s)
        return await self._writer.run(lambda db: sql.expire(db, keys, expires_ms, now_ms))

    async def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend.delete``."""
        now_ms, _ = self._times(None)
        return await self._writer.run(lambda db: sql.delete(db, keys, now_ms))

    async def clear(self, prefix: str) -> int:
        """See ``Backend.clear``."""
        now_ms, _ = self._times(None)
        count, is_over = 0, False
        while not is_over:
            live, is_over = await self._writer.run(
                lambda db: sql.clear_items(db, prefix, _PAGE, now_ms)
            )
            count += live
        return count + await self._writer.run(lambda db: sql.clear_counters(db, prefix))

    async def scan(self, prefix: str, *, page: int = _PAGE) -> AsyncIterator[list[Item]]:
        """See ``Backend.scan``. In the order of the keys."""
        start, end = prefix, sql.after(prefix)
        while True:
            items = await self._scan_page(start, end, page)
            if items:
                yield items
            if len(items) < page:
                return
            start = items[-1].key + "\0"

    async def increment(self, increments: Sequence[Increment]) -> None:
        """See ``Backend.increment``."""
        await self._writer.run(lambda db: sql.increment(db, increments))

    async def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """See ``Backend.counters``."""
        return await self._reader.run(lambda db: sql.counters(db, keys))

    async def ping(self) -> None:
        """See ``Backend.ping``."""
        await self._reader.run(lambda db: db.execute("SELECT 1 FROM items LIMIT 1"))

    async def close(self) -> None:
        """See ``Backend.close``. Waits for the write at hand."""
        await self._writer.close()
        await self._reader.close()

    async def _fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        now_ms, _ = self._times(None)
        return await self._reader.run(lambda db: sql.get_many(db, keys, now_ms))

    async def _scan_page(self, start: str, end: str, page: int) -> list[Item]:
        now_ms, _ = self._times(None)
        return await self._reader.run(lambda db: sql.scan(db, start, end, page, now_ms))

    def _times(self, ttl_s: float | None) -> tuple[int, int]:
        """Now, and when something kept for ``ttl_s`` seconds expires, in milliseconds."""
        now_ms = self._wall_ns() // 1_000_000
        return now_ms, sql.NEVER_MS if ttl_s is None else now_ms + max(1, int(ttl_s * 1000))
