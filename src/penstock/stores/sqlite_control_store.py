"""SqliteControlStore: the control store of the processes of one machine, in one file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import StoreError
from penstock.stores import control_statements as sql
from penstock.stores import lease_statements, published_statements
from penstock.stores.control_store import Change, Outcome, ServingProcess, Standing, Wish
from penstock.stores.sqlite_lane import SqliteLane

T = TypeVar("T")

_Identity = tuple[int, int]

_NAME = "the control store"
"""In errors, which clients read: no path of this machine."""

_AT_ONCE = 16


class SqliteControlStore:
    """A ``ControlStore`` in a SQLite file, in WAL mode: readers and the writer do not wait for
    another.

    A file that is removed or replaced under it is refused from then on, by reads and writes alike:
    what is written there would be seen by some processes and not by others.

    Args:
        path: the file; its folder must be there.
        is_new: whether the first call makes it where it is not there; False: that is an error.
        clock: whose wall clock the processes share; None: the machine's.

    Concurrency: on the event loop that uses it. The constructor opens nothing.
    """

    def __init__(self, path: Path, *, is_new: bool = False, clock: Clock | None = None) -> None:
        self._path = path.absolute()
        self._is_new = is_new
        self._wall_ns = (clock or SystemClock()).wall_ns
        self._identity: _Identity | None = None
        self._reader = SqliteLane(_NAME, self._connect)
        self._writer = SqliteLane(_NAME, self._connect)
        self._turns = {lane: asyncio.Semaphore(_AT_ONCE) for lane in (self._reader, self._writer)}

    async def change(self, wish: Wish, expected: int | None = None) -> int | None:
        """See ``ControlStore.change``."""
        now_ms = self._now_ms()
        return await self._run(self._writer, lambda db: sql.change(db, wish, expected, now_ms))

    async def desired(self, after: int = 0) -> list[Change]:
        """See ``ControlStore.desired``."""
        return await self._run(self._reader, lambda db: sql.desired(db, after))

    async def history(self, subject: str = "", limit: int = 100) -> list[Change]:
        """See ``ControlStore.history``."""
        return await self._run(self._reader, lambda db: sql.history(db, subject, limit))

    async def version(self) -> int:
        """See ``ControlStore.version``. Also after writes of our own."""
        return await self._run(self._reader, sql.version)

    async def attempt(self, process_id: str, subject: str, revision: int) -> None:
        """See ``ControlStore.attempt``."""
        await self._run(self._writer, lambda db: sql.attempt(db, process_id, subject, revision))

    async def abandoned(self, process_id: str) -> list[tuple[str, int]]:
        """See ``ControlStore.abandoned``."""
        return await self._run(self._reader, lambda db: sql.abandoned(db, process_id))

    async def report(self, process: ServingProcess, outcomes: Sequence[Outcome] = ()) -> None:
        """See ``ControlStore.report``."""
        now_ms = self._now_ms()
        await self._run(self._writer, lambda db: sql.report(db, process, outcomes, now_ms))

    async def leave(self, process_id: str) -> None:
        """See ``ControlStore.leave``."""
        await self._run(self._writer, lambda db: sql.leave(db, process_id))

    async def standings(self, subject: str, live_s: float) -> list[Standing]:
        """See ``ControlStore.standings``."""
        now_ms, live_ms = self._now_ms(), int(live_s * 1000)
        return await self._run(self._reader, lambda db: sql.standings(db, subject, live_ms, now_ms))

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """See ``ControlStore.publish``."""
        now_ms = self._now_ms()
        await self._run(
            self._writer,
            lambda db: published_statements.publish(db, process_id, subject, value, now_ms),
        )

    async def published(self, subject: str) -> dict[str, bytes]:
        """See ``ControlStore.published``."""
        now_ms = self._now_ms()
        return await self._run(
            self._reader, lambda db: published_statements.published(db, subject, now_ms)
        )

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """See ``ControlStore.acquire``. By the wall clock that the processes share."""
        now_ms, ttl_ms = self._now_ms(), int(ttl_s * 1000)
        return await self._run(
            self._writer, lambda db: lease_statements.acquire(db, lease, holder, ttl_ms, now_ms)
        )

    async def release(self, lease: str, holder: str) -> None:
        """See ``ControlStore.release``."""
        await self._run(self._writer, lambda db: lease_statements.release(db, lease, holder))

    async def close(self) -> None:
        """See ``ControlStore.close``. Waits for what is at hand."""
        await self._writer.close()
        await self._reader.close()

    async def _run(self, lane: SqliteLane, work: Callable[[sqlite3.Connection], T]) -> T:
        def checked(db: sqlite3.Connection) -> T:
            self._check_there()
            return work(db)

        async with self._turns[lane]:  # wait in line: a lane refuses what is too much for it
            return await lane.run(checked)

    def _connect(self) -> sqlite3.Connection:
        self._check_there()
        connection = sql.connect(self._path, is_new=self._is_new and self._identity is None)
        self._identity = self._identity or self._look()
        return connection

    def _check_there(self) -> None:
        """Refuse a file that is not the one that was opened first."""
        if self._identity is not None and self._look() != self._identity:
            raise StoreError(
                f"{_NAME} was removed or replaced while it was in use: put the file back, or "
                "restart the server"
            )

    def _look(self) -> _Identity | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _now_ms(self) -> int:
        return self._wall_ns() // 1_000_000
