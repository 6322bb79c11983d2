"""SqliteLane: one thread with its own connection to a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.sqlite_statements import store_error

T = TypeVar("T")

_MAX_WAITING = 64


class SqliteLane:
    """One thread with its own connection, opened by the first call that succeeds in it.

    Args:
        name: what errors call the file.
        connect: opens it; blocks; called on the lane's thread.

    Concurrency: ``run`` on the event loop's thread; the connection is used by the lane's thread.
    """

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._name = name
        self._connect = connect
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
                self._db = self._connect()
            return work(self._db)
        except sqlite3.Error as err:
            raise store_error(err, self._name) from err

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
