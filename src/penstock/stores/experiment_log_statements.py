"""What SqliteExperimentLog says to SQLite. Every function may block."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.evidence.means import Moments
from penstock.stores.experiment_log import (
    KEPT_ASIDE_MS,
    KEPT_MS,
    MAX_ASIDE_ROWS,
    MAX_VALUE,
    PRUNED_AT_ONCE_ROWS,
    ExperimentTally,
    Exposure,
    MetricTally,
    PredictionOutcome,
    Recorded,
    VariantTally,
)
from penstock.stores.sqlite_statements import Transaction, log_ahead

_BUSY_TIMEOUT_S = 1.0
_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS experiments (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seen_ms INTEGER NOT NULL,
  dropped INTEGER NOT NULL DEFAULT 0, repeated INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS units (
  experiment INTEGER, unit TEXT, variant TEXT, is_first INTEGER NOT NULL,
  is_mixed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (experiment, unit, variant)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS predictions (
  prediction TEXT, experiment INTEGER, unit TEXT NOT NULL, variant TEXT NOT NULL,
  at_ms INTEGER NOT NULL, PRIMARY KEY (prediction, experiment)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS predictions_by_experiment ON predictions (experiment);
CREATE TABLE IF NOT EXISTS outcomes (
  prediction TEXT, metric TEXT, value REAL NOT NULL, at_ms INTEGER NOT NULL,
  told_ms INTEGER NOT NULL, is_known INTEGER NOT NULL, PRIMARY KEY (prediction, metric)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outcomes_aside ON outcomes (told_ms, is_known) WHERE is_known = 0;
CREATE TABLE IF NOT EXISTS sums (
  experiment INTEGER, unit TEXT, variant TEXT, metric TEXT, count INTEGER NOT NULL,
  total REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
  PRIMARY KEY (experiment, unit, variant, metric)
) WITHOUT ROWID;
"""
_SEEN = """
INSERT INTO experiments (name, seen_ms, dropped) VALUES (?, ?, ?) ON CONFLICT (name)
DO UPDATE SET seen_ms = max(seen_ms, excluded.seen_ms), dropped = dropped + excluded.dropped
RETURNING id
"""
_PREDICTION = """
INSERT INTO predictions (prediction, experiment, unit, variant, at_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_UNIT = """
INSERT INTO units (experiment, unit, variant, is_first) VALUES (
  ?1, ?2, ?3, NOT EXISTS (SELECT 1 FROM units WHERE experiment = ?1 AND unit = ?2)
) ON CONFLICT DO NOTHING
"""
_MIXED = """
UPDATE units SET is_mixed = 1 WHERE experiment = ?1 AND unit = ?2
AND EXISTS (SELECT 1 FROM units WHERE experiment = ?1 AND unit = ?2 AND variant != ?3)
"""
_REPEATED = "UPDATE experiments SET repeated = repeated + ? WHERE id = ?"
_TOLD = "SELECT metric, value, is_known FROM outcomes WHERE prediction = ?"
_KNOWN = "UPDATE outcomes SET is_known = 1 WHERE prediction = ? AND is_known = 0"
_EXPOSED = "SELECT experiment, unit, variant FROM predictions WHERE prediction = ?"
_OUTCOME = """
INSERT INTO outcomes (prediction, metric, value, at_ms, told_ms, is_known)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_SUM = """
INSERT INTO sums VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?5) ON CONFLICT DO UPDATE SET
  count = count + 1, total = total + excluded.total, low = min(low, excluded.low),
  high = max(high, excluded.high)
"""
_FORGET_OUTCOME = "DELETE FROM outcomes WHERE prediction = ? AND metric = ?"
_WAITING = "SELECT count(*) FROM outcomes WHERE is_known = 0"
_OLD_ASIDE = "SELECT prediction, metric FROM outcomes WHERE is_known = 0 AND told_ms < ? LIMIT ?"
_OLD = "SELECT id FROM experiments WHERE seen_ms < ? ORDER BY id LIMIT 1"
_HIDE = "UPDATE experiments SET name = 'forgotten ' || id WHERE id = ?"
_PIECES = (
    (
        "SELECT prediction, experiment FROM predictions WHERE experiment = ? LIMIT ?",
        (
            "DELETE FROM predictions WHERE prediction = ?1 AND experiment = ?2",
            "DELETE FROM outcomes WHERE prediction = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM predictions WHERE prediction = ?1 AND experiment != ?2)",
        ),
    ),
    (
        "SELECT experiment, unit, variant, metric FROM sums WHERE experiment = ? LIMIT ?",
        ("DELETE FROM sums WHERE experiment = ? AND unit = ? AND variant = ? AND metric = ?",),
    ),
    (
        "SELECT experiment, unit, variant FROM units WHERE experiment = ? LIMIT ?",
        ("DELETE FROM units WHERE experiment = ? AND unit = ? AND variant = ?",),
    ),
    (
        "SELECT id FROM experiments WHERE id = ? LIMIT ?",
        ("DELETE FROM experiments WHERE id = ?",),
    ),
)
"""What an experiment has, by primary keys: which rows, and how each is deleted; itself last."""

_UNIT_MEANS = f"""
WITH unit_means AS MATERIALIZED (
  SELECT s.variant AS variant, metric,
    max(-{MAX_VALUE}, min({MAX_VALUE}, total / count)) AS mean, low, high
  FROM sums AS s JOIN units AS u
  ON u.experiment = s.experiment AND u.unit = s.unit AND u.variant = s.variant
  WHERE s.experiment = ? AND (? OR NOT u.is_mixed)
), centres AS (SELECT metric, avg(mean) AS centre FROM unit_means GROUP BY metric)
SELECT variant, metric, centre, count(*), avg(mean), sum((mean - centre) * (mean - centre)),
  sum(low = 1 AND high = 1), sum(low = 0 AND high = 0), min(low), max(high)
FROM unit_means JOIN centres USING (metric) GROUP BY variant, metric
"""  # noqa: S608  # constants
_UNITS = """
SELECT variant, count(*), sum(is_mixed) FROM units WHERE experiment = ? AND is_first
GROUP BY variant
"""
_UNITS_OF_PREDICTIONS = (
    "SELECT variant, count(*), 0 FROM units WHERE experiment = ? GROUP BY variant"
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make its tables where it is new.

    Raises:
        sqlite3.Error: it cannot be opened, is no database, or another program's.
    """
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        found, tables = _read_format(connection)
        if found != _FORMAT and (found or tables):
            raise sqlite3.DatabaseError("the file is not an experiment log of this version")
        if not tables:
            log_ahead(connection)
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT"
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        undo.pop_all()
    return connection


def _read_format(db: sqlite3.Connection) -> tuple[int, int]:
    """The format's number and how many tables there are, both of one moment: another process may
    be making them.
    """
    db.execute("BEGIN")
    (found,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    db.execute("COMMIT")
    return found, tables


def expose(
    db: sqlite3.Connection, exposures: Sequence[Exposure], dropped: Mapping[str, int], now_ms: int
) -> None:
    """Write exposures in one transaction; outcomes that came before them are known from now on."""
    with Transaction(db):
        names = {*(one.experiment for one in exposures), *dropped}
        ids = {
            name: db.execute(_SEEN, (name, now_ms, dropped.get(name, 0))).fetchone()[0]
            for name in sorted(names)
        }
        repeated: Counter[int] = Counter()
        for name, unit, variant, prediction, at_ms in exposures:
            number = ids[name]
            row = (prediction, number, unit, variant, at_ms)
            if db.execute(_PREDICTION, row).rowcount:
                _count_told(db, prediction, (number, unit, variant))
            else:
                repeated[number] += 1
            if db.execute(_UNIT, (number, unit, variant)).rowcount:
                db.execute(_MIXED, (number, unit, variant))
        db.executemany(_REPEATED, [(count, number) for number, count in repeated.items()])


def _count_told(db: sqlite3.Connection, prediction: str, exposed: tuple[int, str, str]) -> None:
    """Count the outcomes that came before their prediction did."""
    told = db.execute(_TOLD, (prediction,)).fetchall()
    if told:
        db.executemany(_SUM, [(*exposed, metric, value) for metric, value, _ in told])
        if not all(is_known for *_, is_known in told):
            db.execute(_KNOWN, (prediction,))


def record(
    db: sqlite3.Connection, outcomes: Sequence[PredictionOutcome], now_ms: int
) -> tuple[Recorded, int]:
    """Write outcomes in one transaction, the first of each prediction and metric.

    Returns:
        what became of them, and how many there was no room for aside; those are not written.
    """
    duplicates, unknown = [], []
    with Transaction(db):
        for position, (prediction, metric, value, at_ms) in enumerate(outcomes):
            exposed = db.execute(_EXPOSED, (prediction,)).fetchall()
            row = (prediction, metric, value, at_ms, now_ms, bool(exposed))
            if db.execute(_OUTCOME, row).rowcount == 0:
                duplicates.append(position)
            elif exposed:
                db.executemany(_SUM, [(*one, metric, value) for one in exposed])
            else:
                unknown.append(position)
        num_refused = _refuse(db, [outcomes[position] for position in unknown])
    num_new = len(outcomes) - len(duplicates) - num_refused
    kept = unknown[: len(unknown) - num_refused]
    return Recorded(num_new, tuple(duplicates), tuple(kept)), num_refused


def _refuse(db: sqlite3.Connection, unknown: Sequence[PredictionOutcome]) -> int:
    """Take back the last of what was kept aside just now, where that is too much."""
    if not unknown:
        return 0
    num_over = db.execute(_WAITING).fetchone()[0] - MAX_ASIDE_ROWS
    refused = unknown[max(0, len(unknown) - num_over) :] if num_over > 0 else ()
    db.executemany(_FORGET_OUTCOME, [(one.prediction_id, one.metric) for one in refused])
    return len(refused)


def prune(db: sqlite3.Connection, now_ms: int) -> bool:
    """Forget a piece: outcomes of unknown predictions, or of an experiment not met for long.

    An experiment has no tally any more as soon as its first piece is forgotten.

    Returns:
        whether there may be more.
    """
    with Transaction(db):
        left = PRUNED_AT_ONCE_ROWS
        aside = db.execute(_OLD_ASIDE, (now_ms - KEPT_ASIDE_MS, left)).fetchall()
        db.executemany(_FORGET_OUTCOME, aside)
        left -= len(aside)
        found = db.execute(_OLD, (now_ms - KEPT_MS,)).fetchone()
        if found is not None and left:
            db.execute(_HIDE, found)
            for chosen, deletions in _PIECES:
                rows = db.execute(chosen, (*found, left)).fetchall()
                for deletion in deletions:
                    db.executemany(deletion, rows)
                left -= len(rows)
                if not left:
                    break
    return found is not None or not left


def tally(db: sqlite3.Connection, experiment: str, *, by_prediction: bool) -> ExperimentTally:
    """Add up an experiment, as of one instant."""
    db.execute("BEGIN")
    try:
        waiting = db.execute(_WAITING).fetchone()[0]
        sql = "SELECT id, dropped, repeated FROM experiments WHERE name = ?"
        found = db.execute(sql, (experiment,)).fetchone()
        if found is None:
            return ExperimentTally(waiting=waiting)
        number, dropped, repeated = found
        metrics = _metrics(db.execute(_UNIT_MEANS, (number, by_prediction)))
        sql = _UNITS_OF_PREDICTIONS if by_prediction else _UNITS
        units = {name: (count, mixed) for name, count, mixed in db.execute(sql, (number,))}
    finally:
        db.execute("COMMIT")
    variants = {
        name: VariantTally(*units.get(name, (0, 0)), metrics=metrics.get(name, {}))
        for name in sorted(units.keys() | metrics.keys())
    }
    return ExperimentTally(variants, dropped, repeated, waiting)


def _metrics(
    rows: Iterable[tuple[Any, ...]],
) -> dict[str, dict[str, MetricTally]]:
    """By variant and metric; the sums are about a centre, so that no digits are lost."""
    found: dict[str, dict[str, MetricTally]] = {}
    for variant, metric, centre, count, mean, squares, ones, zeros, low, high in rows:
        m2 = max(0.0, squares - count * (mean - centre) * (mean - centre))
        moments = Moments(int(count), mean, m2)
        tally = MetricTally(moments, int(ones), int(zeros), low, high)
        found.setdefault(variant, {})[metric] = tally
    return found
