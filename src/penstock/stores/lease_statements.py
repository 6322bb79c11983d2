"""What a control store says to SQLite about leases. Every function may block.

A lease is its holder's while the clock is at most its length away from where it was taken, on
either side: a clock that jumps ends it too early, or holds it for twice its length at the most.
"""

from __future__ import annotations

import sqlite3

from penstock.stores.sqlite_statements import Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
  name TEXT PRIMARY KEY, holder TEXT NOT NULL, taken_ms INTEGER NOT NULL, ttl_ms INTEGER NOT NULL
) WITHOUT ROWID;
"""
_IS_OVER = "abs(? - taken_ms) > ttl_ms"


def acquire(db: sqlite3.Connection, lease: str, holder: str, ttl_ms: int, now_ms: int) -> bool:
    """Take a lease, or keep it; whether it is the holder's. Forgets those that are over."""
    with Transaction(db):
        gone = f"DELETE FROM leases WHERE {_IS_OVER} OR (name = ? AND holder = ?)"  # noqa: S608
        db.execute(gone, (now_ms, lease, holder))
        sql = "INSERT OR IGNORE INTO leases (name, holder, taken_ms, ttl_ms) VALUES (?, ?, ?, ?)"
        return db.execute(sql, (lease, holder, now_ms, ttl_ms)).rowcount == 1


def release(db: sqlite3.Connection, lease: str, holder: str) -> None:
    """Give a lease back."""
    db.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (lease, holder))
