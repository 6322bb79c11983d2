"""What a control store says to SQLite about what processes publish. Every function may block."""

from __future__ import annotations

import sqlite3

from penstock.stores.sqlite_statements import Transaction

KEPT_MS = 30 * 24 * 3600 * 1000
"""What was told longer ago is forgotten, in every control store. Stages last for days, and what a
process that died has counted in one counts to its end."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS published (
  subject TEXT, process TEXT, value BLOB NOT NULL, told_ms INTEGER NOT NULL,
  PRIMARY KEY (subject, process)
) WITHOUT ROWID;
"""
_AGAIN = "UPDATE published SET value = ?, told_ms = ? WHERE subject = ? AND process = ?"
_FIRST = "INSERT INTO published (value, told_ms, subject, process) VALUES (?, ?, ?, ?)"


def publish(
    db: sqlite3.Connection, process_id: str, subject: str, value: bytes, now_ms: int
) -> None:
    """Keep what a process tells; with the first that it tells, forget what is too old."""
    row = (value, now_ms, subject, process_id)
    with Transaction(db):
        if not db.execute(_AGAIN, row).rowcount:
            db.execute(_FIRST, row)
            db.execute("DELETE FROM published WHERE abs(? - told_ms) > ?", (now_ms, KEPT_MS))


def published(db: sqlite3.Connection, subject: str, now_ms: int) -> dict[str, bytes]:
    """What each process told last."""
    sql = "SELECT process, value FROM published WHERE subject = ? AND abs(? - told_ms) <= ?"
    return dict(db.execute(sql, (subject, now_ms, KEPT_MS)).fetchall())
