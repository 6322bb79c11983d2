"""What SqliteBackend says to SQLite. Every function runs on a thread of its own and may block."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item

_BUSY_TIMEOUT_S = 1.0
_PAUSE_S = 0.005
_SWEEP_ROWS = 500
NEVER_MS = 2**62
"""The expiry of what does not expire."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
  key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_by_expiry ON items (expires_ms);
CREATE TABLE IF NOT EXISTS counters (
  key TEXT, field TEXT, amount INTEGER NOT NULL, PRIMARY KEY (key, field)
) WITHOUT ROWID;
"""
_GET = "SELECT value FROM items WHERE key = ? AND expires_ms > ?"
_SET = """
INSERT INTO items (key, value, expires_ms) VALUES (?, ?, ?) ON CONFLICT (key)
DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms
"""
_SET_NEW = _SET + "WHERE items.expires_ms <= ?"
_ADD = """
INSERT INTO counters (key, field, amount) VALUES (?, ?, ?) ON CONFLICT (key, field)
DO UPDATE SET amount = amount + excluded.amount
"""
_SWEEP = """
DELETE FROM items WHERE key IN (
  SELECT key FROM items WHERE expires_ms <= ? LIMIT ?
)
"""
_SCAN = """
SELECT key, value FROM items WHERE key >= ? AND key < ? AND expires_ms > ? ORDER BY key LIMIT ?
"""
_CLEAR = """
DELETE FROM items WHERE key IN (SELECT key FROM items WHERE key >= ? AND key < ? LIMIT ?)
RETURNING expires_ms
"""


def connect(path: str, *, max_bytes: int) -> sqlite3.Connection:
    """Open the file, and make its tables where it is new.

    Args:
        path: the file.
        max_bytes: the most it may grow to; 0: no bound.

    Raises:
        sqlite3.Error: it cannot be opened, or is no database.
    """
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        log_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        if max_bytes:
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(8, max_bytes // page_bytes)}")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Two who open a new file at once: SQLite refuses one at once, and does not
    wait as it does elsewhere.
    """
    give_up_s = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as err:
            is_busy = err.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up_s:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def get_many(db: sqlite3.Connection, keys: Sequence[str], now_ms: int) -> list[bytes | None]:
    """The values of live items."""
    rows = [db.execute(_GET, (key, now_ms)).fetchone() for key in keys]
    return [None if row is None else row[0] for row in rows]


def set_many(
    db: sqlite3.Connection,
    items: Sequence[Item],
    expires_ms: int,
    now_ms: int,
    only_new: bool,
) -> list[bool]:
    """Write items and their increments in one transaction, and sweep some that have expired."""
    with Transaction(db):
        written = []
        for key, value, increments in items:
            row = (key, value, expires_ms)
            done = db.execute(_SET_NEW, (*row, now_ms)) if only_new else db.execute(_SET, row)
            written.append(done.rowcount == 1)
            if written[-1]:
                db.executemany(_ADD, increments)
        db.execute(_SWEEP, (now_ms, max(_SWEEP_ROWS, 2 * len(items))))
    return written


def expire(db: sqlite3.Connection, keys: Sequence[str], expires_ms: int, now_ms: int) -> int:
    """Give items another expiry; how many there were."""
    with Transaction(db):
        sql = "UPDATE items SET expires_ms = ? WHERE key = ? AND expires_ms > ?"
        return sum(
            db.execute(sql, (expires_ms, key, now_ms)).rowcount for key in dict.fromkeys(keys)
        )


def delete(db: sqlite3.Connection, keys: Sequence[str], now_ms: int) -> int:
    """Delete items; how many were live."""
    with Transaction(db):
        sql = "DELETE FROM items WHERE key = ? AND expires_ms > ?"
        return sum(db.execute(sql, (key, now_ms)).rowcount for key in keys)


def clear_items(db: sqlite3.Connection, prefix: str, page: int, now_ms: int) -> tuple[int, bool]:
    """Delete a page of items: how many were live, and whether that was the last page."""
    rows = db.execute(_CLEAR, (prefix, after(prefix), page)).fetchall()
    return sum(row[0] > now_ms for row in rows), len(rows) < page


def clear_counters(db: sqlite3.Connection, prefix: str) -> int:
    """Delete hashes of counters; how many there were."""
    sql = "DELETE FROM counters WHERE key >= ? AND key < ? RETURNING key"
    return len({row[0] for row in db.execute(sql, (prefix, after(prefix))).fetchall()})


def scan(db: sqlite3.Connection, start: str, end: str, page: int, now_ms: int) -> list[Item]:
    """A page of live items, by key, from ``start`` on, before ``end``."""
    rows = db.execute(_SCAN, (start, end, now_ms, page)).fetchall()
    return [Item(key, value) for key, value in rows]


def increment(db: sqlite3.Connection, increments: Iterable[Increment]) -> None:
    """Add to counters in one transaction."""
    with Transaction(db):
        db.executemany(_ADD, increments)


def counters(db: sqlite3.Connection, keys: Sequence[str]) -> list[dict[str, int]]:
    """The counters of each hash."""
    sql = "SELECT field, amount FROM counters WHERE key = ?"
    return [dict(db.execute(sql, (key,)).fetchall()) for key in keys]


def after(prefix: str) -> str:
    """The least text that is greater than every text with this prefix, as SQLite orders them."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position]) + 1
        if code <= 0x10FFFF:
            code = 0xE000 if 0xD800 <= code <= 0xDFFF else code
            return prefix[:position] + chr(code)
    return "\U0010ffff" * 64


def store_error(err: sqlite3.Error, name: str) -> StoreError:
    """What SQLite's error means here."""
    code = getattr(err, "sqlite_errorcode", 0) & 0xFF
    faults = {
        sqlite3.SQLITE_BUSY: StoreFault.LOCKED,
        sqlite3.SQLITE_LOCKED: StoreFault.LOCKED,
        sqlite3.SQLITE_FULL: StoreFault.FULL,
        sqlite3.SQLITE_CORRUPT: StoreFault.GARBAGE,
        sqlite3.SQLITE_NOTADB: StoreFault.GARBAGE,
        sqlite3.SQLITE_READONLY: StoreFault.REFUSED,
    }
    fault = faults.get(code, StoreFault.UNAVAILABLE)
    return StoreError(f"{name}: {err}", fault=fault)


class Transaction:
    """BEGIN IMMEDIATE to COMMIT, or ROLLBACK."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")
