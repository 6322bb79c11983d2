"""What SqliteControlStore says to SQLite. Every function may block."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from penstock.stores import lease_statements, published_statements
from penstock.stores.control_store import Change, Outcome, ServingProcess, Standing, Wish
from penstock.stores.sqlite_statements import Transaction, log_ahead

BUSY_TIMEOUT_S = 1.0
KEPT_CHANGES = 10_000
_KEPT_PROCESSES_MS = 24 * 3600 * 1000
_FORMAT = 2
_OLDER_FORMATS = frozenset({1})
"""What lacks nothing but tables that ``_SCHEMA`` makes."""

_FIRST_TABLES = frozenset({"changes", "processes", "outcomes", "attempts"})
"""Of every format."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS changes (
  revision INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, value TEXT NOT NULL,
  who TEXT NOT NULL, why TEXT NOT NULL, at_ms INTEGER NOT NULL, undoes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS changes_by_subject ON changes (subject, revision);
CREATE TABLE IF NOT EXISTS processes (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, pid INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
  process TEXT, subject TEXT, revision INTEGER NOT NULL, error TEXT NOT NULL,
  message TEXT NOT NULL, PRIMARY KEY (process, subject)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
  process TEXT, subject TEXT, revision INTEGER NOT NULL, PRIMARY KEY (process, subject)
) WITHOUT ROWID;
{published_statements.SCHEMA}{lease_statements.SCHEMA}
"""
_COLUMNS = "revision, subject, value, who, why, at_ms, undoes"
_DESIRED = f"""
SELECT {_COLUMNS} FROM changes AS one
WHERE revision > ? AND revision = (SELECT max(revision) FROM changes WHERE subject = one.subject)
ORDER BY revision
"""  # noqa: S608  # constants
_HISTORY = f"""
SELECT {_COLUMNS} FROM changes WHERE ? IN ('', subject) ORDER BY revision DESC LIMIT ?
"""  # noqa: S608  # constants
_PRUNE = """
DELETE FROM changes AS one WHERE revision <= ?
AND revision < (SELECT max(revision) FROM changes WHERE subject = one.subject)
"""
_SEEN = """
INSERT INTO processes (id, number, pid, seen_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms
"""
_STANDINGS = """
SELECT id, number, pid, coalesce(revision, 0), coalesce(error, ''), coalesce(message, '')
FROM processes LEFT JOIN outcomes ON process = id AND subject = ?
WHERE abs(? - seen_ms) <= ? ORDER BY number, id
"""


def connect(path: Path, *, is_new: bool) -> sqlite3.Connection:
    """Open the file; one that an older version of Penstock has made gets what it lacks.

    Args:
        path: an absolute path.
        is_new: whether it is made where it is not there.

    Raises:
        sqlite3.Error: it cannot be opened, is no database, or another program's.
    """
    mode = "rwc" if is_new else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        found, tables = _read_format(connection)
        is_ours = found in (_FORMAT, *_OLDER_FORMATS) and tables >= _FIRST_TABLES
        if not is_ours and (found or tables or not is_new):
            raise sqlite3.DatabaseError("the file is not a control store of this version")
        connection.execute("PRAGMA synchronous = NORMAL")
        if found != _FORMAT:
            _make(connection)
        undo.pop_all()
    return connection


def _read_format(db: sqlite3.Connection) -> tuple[int, set[str]]:
    """The format's number and the names of what is there, both of one moment: another process may
    be making it.
    """
    db.execute("BEGIN")
    (found,) = db.execute("PRAGMA user_version").fetchone()
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    db.execute("COMMIT")
    return found, names


def _make(db: sqlite3.Connection) -> None:
    log_ahead(db)
    db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT")


def change(db: sqlite3.Connection, wish: Wish, expected: int | None, now_ms: int) -> int | None:
    """Append a change, where the subject's last one is the expected one; prune what is old."""
    value = msgspec.json.encode(wish.value).decode()
    with Transaction(db):
        if expected is not None:
            sql = "SELECT coalesce(max(revision), 0) FROM changes WHERE subject = ?"
            if db.execute(sql, (wish.subject,)).fetchone()[0] != expected:
                return None
        sql = "INSERT INTO changes (subject, value, who, why, at_ms, undoes) VALUES (?,?,?,?,?,?)"
        row = (wish.subject, value, wish.who, wish.why, now_ms, wish.undoes)
        revision = db.execute(sql, row).lastrowid
        db.execute(_PRUNE, ((revision or 0) - KEPT_CHANGES,))
    return revision


def desired(db: sqlite3.Connection, after: int) -> list[Change]:
    """The last change of each subject above a revision."""
    return [_change(row) for row in db.execute(_DESIRED, (after,))]


def history(db: sqlite3.Connection, subject: str, limit: int) -> list[Change]:
    """The last changes, the youngest first."""
    return [_change(row) for row in db.execute(_HISTORY, (subject, limit))]


def attempt(db: sqlite3.Connection, process_id: str, subject: str, revision: int) -> None:
    """Note that a process is about to apply a change."""
    sql = "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)"
    db.execute(sql, (process_id, subject, revision))


def abandoned(db: sqlite3.Connection, process_id: str) -> list[tuple[str, int]]:
    """What a process began and has not ended."""
    sql = "SELECT subject, revision FROM attempts WHERE process = ? ORDER BY revision"
    return db.execute(sql, (process_id,)).fetchall()


def report(
    db: sqlite3.Connection, process: ServingProcess, outcomes: Sequence[Outcome], now_ms: int
) -> None:
    """Note that a process lives, and what it has done; forget those that are long gone."""
    with Transaction(db):
        db.execute(_SEEN, (process.id, process.number, process.pid, now_ms))
        sql = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)"
        rows = [(process.id, one.subject, one.revision, one.error, one.message) for one in outcomes]
        db.executemany(sql, rows)
        sql = "DELETE FROM attempts WHERE process = ? AND subject = ? AND revision <= ?"
        db.executemany(sql, [(process.id, one.subject, one.revision) for one in outcomes])
        old_ms = now_ms - _KEPT_PROCESSES_MS
        for (old,) in db.execute(
            "SELECT id FROM processes WHERE seen_ms < ?", (old_ms,)
        ).fetchall():
            _forget(db, old)


def leave(db: sqlite3.Connection, process_id: str) -> None:
    """Forget a process."""
    with Transaction(db):
        _forget(db, process_id)


def standings(db: sqlite3.Connection, subject: str, live_ms: int, now_ms: int) -> list[Standing]:
    """How far the living have come with a subject."""
    return [
        Standing(ServingProcess(one, number, pid), Outcome(subject, revision, error, message))
        for one, number, pid, revision, error, message in db.execute(
            _STANDINGS, (subject, now_ms, live_ms)
        )
    ]


def version(db: sqlite3.Connection) -> int:
    """Another number after another connection has committed."""
    number: int = db.execute("PRAGMA data_version").fetchone()[0]
    return number


def _forget(db: sqlite3.Connection, process_id: str) -> None:
    db.execute("DELETE FROM attempts WHERE process = ?", (process_id,))
    db.execute("DELETE FROM outcomes WHERE process = ?", (process_id,))
    db.execute("DELETE FROM processes WHERE id = ?", (process_id,))


def _change(row: tuple[int, str, str, str, str, int, int]) -> Change:
    revision, subject, value, who, why, at_ms, undoes = row
    try:
        decoded = msgspec.json.decode(value)
    except msgspec.DecodeError as err:
        raise sqlite3.DatabaseError(f"revision {revision} cannot be read") from err
    return Change(revision, subject, decoded, who, why, at_ms, undoes)
