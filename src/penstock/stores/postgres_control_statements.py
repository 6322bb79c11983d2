"""What PostgresControlStore says to PostgreSQL: constants, in the schema of the search path.

Times are the server's. Whoever writes what others wait for takes the one row of ``state`` first and
keeps it to the end: so revisions are committed in their order, and no two writers wait for another
in a circle.
"""

from __future__ import annotations

from penstock.stores.published_statements import KEPT_MS

FORMAT = 1
KEPT_CHANGES = 10_000
_NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_DAY_MS = 24 * 3600 * 1000

LOCK_MAKING = "SELECT pg_advisory_xact_lock(hashtext('penstock control store'))"
IS_THERE = "SELECT to_regclass('state') IS NOT NULL"
HAS_SCHEMA = "SELECT to_regnamespace($1) IS NOT NULL"
TABLES = """
CREATE TABLE IF NOT EXISTS state (
  one INT PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, format INT NOT NULL,
  revision BIGINT NOT NULL, version BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS changes (
  revision BIGINT PRIMARY KEY, subject TEXT NOT NULL, value TEXT NOT NULL, who TEXT NOT NULL,
  why TEXT NOT NULL, at_ms BIGINT NOT NULL, undoes BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS changes_by_subject ON changes (subject, revision);
CREATE TABLE IF NOT EXISTS processes (
  id TEXT PRIMARY KEY, number INT NOT NULL, pid INT NOT NULL, host TEXT NOT NULL,
  seen_ms BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS outcomes (
  process TEXT, subject TEXT, revision BIGINT NOT NULL, error TEXT NOT NULL,
  message TEXT NOT NULL, PRIMARY KEY (process, subject)
);
CREATE TABLE IF NOT EXISTS attempts (
  process TEXT, subject TEXT, revision BIGINT NOT NULL, PRIMARY KEY (process, subject)
);
CREATE TABLE IF NOT EXISTS published (
  subject TEXT, process TEXT, value BYTEA NOT NULL, told_ms BIGINT NOT NULL,
  PRIMARY KEY (subject, process)
);
CREATE TABLE IF NOT EXISTS leases (
  name TEXT PRIMARY KEY, holder TEXT NOT NULL, taken_ms BIGINT NOT NULL, ttl_ms BIGINT NOT NULL
);
"""
MAKE_STATE = "INSERT INTO state VALUES (1, $1, $2, 0, 0) ON CONFLICT DO NOTHING"

STATE = "SELECT id, format, revision, version FROM state"
LOCK = f"{STATE} FOR UPDATE"
NEWS = "UPDATE state SET version = version + 1"

_COLUMNS = "revision, subject, value, who, why, at_ms, undoes"
LAST = "SELECT coalesce(max(revision), 0) FROM changes WHERE subject = $1"
CHANGE = f"""
WITH next AS (
  UPDATE state SET revision = revision + 1, version = version + 1 RETURNING revision
)
INSERT INTO changes ({_COLUMNS})
SELECT revision, $1::text, $2::text, $3::text, $4::text, {_NOW_MS}, $5::bigint FROM next
RETURNING revision
"""  # noqa: S608  # constants
PRUNE = """
DELETE FROM changes AS one WHERE revision <= $1
AND revision < (SELECT max(revision) FROM changes WHERE subject = one.subject)
"""
DESIRED = f"""
SELECT {_COLUMNS} FROM changes
WHERE revision IN (SELECT max(revision) FROM changes WHERE revision > $1 GROUP BY subject)
ORDER BY revision
"""  # noqa: S608  # constants
HISTORY = f"""
SELECT {_COLUMNS} FROM changes WHERE $1 IN ('', subject) ORDER BY revision DESC LIMIT $2
"""  # noqa: S608  # constants

ATTEMPT = """
INSERT INTO attempts VALUES ($1, $2, $3)
ON CONFLICT (process, subject) DO UPDATE SET revision = excluded.revision
"""
ABANDONED = "SELECT subject, revision FROM attempts WHERE process = $1 ORDER BY revision"
SEEN = f"UPDATE processes SET seen_ms = {_NOW_MS} WHERE id = $1 RETURNING id"  # noqa: S608
CAME = f"""
INSERT INTO processes (id, number, pid, host, seen_ms) VALUES ($1, $2, $3, $4, {_NOW_MS})
ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms
"""  # noqa: S608  # constants
LONG_GONE = f"SELECT id FROM processes WHERE seen_ms < {_NOW_MS} - {_DAY_MS}"  # noqa: S608
OUTCOME = """
INSERT INTO outcomes VALUES ($1, $2, $3, $4, $5) ON CONFLICT (process, subject) DO UPDATE
SET revision = excluded.revision, error = excluded.error, message = excluded.message
"""
ENDED = "DELETE FROM attempts WHERE process = $1 AND subject = $2 AND revision <= $3"
FORGET = (
    "DELETE FROM attempts WHERE process = $1",
    "DELETE FROM outcomes WHERE process = $1",
    "DELETE FROM processes WHERE id = $1",
)
STANDINGS = f"""
SELECT id, number, pid, host, coalesce(revision, 0), coalesce(error, ''), coalesce(message, '')
FROM processes LEFT JOIN outcomes ON process = id AND subject = $1
WHERE abs({_NOW_MS} - seen_ms) <= $2 ORDER BY number, id
"""  # noqa: S608  # constants

PUBLISH_AGAIN = f"""
UPDATE published SET value = $3, told_ms = {_NOW_MS} WHERE subject = $2 AND process = $1
RETURNING process
"""  # noqa: S608  # constants
PUBLISH_FIRST = f"""
INSERT INTO published (process, subject, value, told_ms) VALUES ($1, $2, $3, {_NOW_MS})
ON CONFLICT (subject, process) DO UPDATE SET value = excluded.value, told_ms = excluded.told_ms
"""  # noqa: S608  # constants
FORGET_TOLD = f"DELETE FROM published WHERE abs({_NOW_MS} - told_ms) > {KEPT_MS}"  # noqa: S608
PUBLISHED = f"""
SELECT process, value FROM published WHERE subject = $1 AND abs({_NOW_MS} - told_ms) <= {KEPT_MS}
"""  # noqa: S608  # constants

ACQUIRE = f"""
INSERT INTO leases AS one (name, holder, taken_ms, ttl_ms) VALUES ($1, $2, {_NOW_MS}, $3)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, taken_ms = excluded.taken_ms, ttl_ms = excluded.ttl_ms
WHERE one.holder = excluded.holder OR abs(excluded.taken_ms - one.taken_ms) > one.ttl_ms
RETURNING name
"""  # noqa: S608  # constants
RELEASE = "DELETE FROM leases WHERE name = $1 AND holder = $2"
