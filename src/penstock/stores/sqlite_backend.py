"""SqliteBackend: a store in one file, for a machine that needs no server.

Lookups run on a thread of their own: a disk may hang, and the event loop must not. What waits for
the thread goes out together, so that under load a hop is paid for many
(docs/decisions/0009-prediction-store.md has the figures).
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Sequence

from penstock.core.clock import Clock, SystemClock
from penstock.stores import sqlite_statements as sql
from penstock.stores.backend import Increment, Item
from penstock.stores.grouped_reads import GroupedReads
from penstock.stores.sqlite_lane import SqliteLane

_PAGE = 1000


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
        connect = functools.partial(sql.connect, path, max_bytes=max_bytes)
        self._reader = SqliteLane(f"sqlite:///{path}", connect)
        self._writer = SqliteLane(f"sqlite:///{path}", connect)
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
