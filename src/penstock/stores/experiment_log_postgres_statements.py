"""What PostgresExperimentLog says to PostgreSQL: constants, in the schema of the search path.

Whoever writes takes one lock first and keeps it to the end: so a prediction and its outcome see one
another whichever comes first. Rows come as arrays, a batch in one statement.
"""

from __future__ import annotations

from penstock.stores.experiment_log import MAX_VALUE

_NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

LOCK = """
SELECT pg_advisory_xact_lock(hashtext('penstock experiment log'), hashtext(current_schema()))
"""
LOCK_MAKING = "SELECT pg_advisory_xact_lock(hashtext('penstock experiment log'))"
IS_THERE = "SELECT to_regclass('log_outcomes') IS NOT NULL"
HAS_SCHEMA = "SELECT to_regnamespace($1) IS NOT NULL"
TABLES = """
CREATE TABLE IF NOT EXISTS log_experiments (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  seen_ms BIGINT NOT NULL, dropped BIGINT NOT NULL DEFAULT 0, repeated BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS log_units (
  experiment BIGINT, unit TEXT, variant TEXT, is_first BOOLEAN NOT NULL,
  is_mixed BOOLEAN NOT NULL, PRIMARY KEY (experiment, unit, variant)
);
CREATE TABLE IF NOT EXISTS log_predictions (
  prediction TEXT, experiment BIGINT, unit TEXT NOT NULL, variant TEXT NOT NULL,
  at_ms BIGINT NOT NULL, PRIMARY KEY (prediction, experiment)
);
CREATE INDEX IF NOT EXISTS log_predictions_by_experiment ON log_predictions (experiment);
CREATE TABLE IF NOT EXISTS log_outcomes (
  prediction TEXT, metric TEXT, value DOUBLE PRECISION NOT NULL, at_ms BIGINT NOT NULL,
  told_ms BIGINT NOT NULL, is_known BOOLEAN NOT NULL, PRIMARY KEY (prediction, metric)
);
CREATE INDEX IF NOT EXISTS log_outcomes_aside ON log_outcomes (told_ms) WHERE NOT is_known;
CREATE TABLE IF NOT EXISTS log_sums (
  experiment BIGINT, unit TEXT, variant TEXT, metric TEXT, count BIGINT NOT NULL,
  total DOUBLE PRECISION NOT NULL, low DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (experiment, unit, variant, metric)
);
"""
_ADDED = """
ON CONFLICT (experiment, unit, variant, metric) DO UPDATE SET
  count = log_sums.count + excluded.count, total = log_sums.total + excluded.total,
  low = least(log_sums.low, excluded.low), high = greatest(log_sums.high, excluded.high)
"""

SEEN = f"""
INSERT INTO log_experiments (name, seen_ms, dropped) VALUES ($1, {_NOW_MS}, $2)
ON CONFLICT (name) DO UPDATE SET seen_ms = excluded.seen_ms,
  dropped = log_experiments.dropped + excluded.dropped
RETURNING id
"""  # noqa: S608  # constants
PREDICTIONS = f"""
WITH new AS (
  INSERT INTO log_predictions (prediction, experiment, unit, variant, at_ms)
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])
  ON CONFLICT DO NOTHING RETURNING prediction, experiment, unit, variant
), added AS (
  INSERT INTO log_sums
  SELECT new.experiment, new.unit, new.variant, o.metric, count(*), sum(o.value), min(o.value),
    max(o.value)
  FROM new JOIN log_outcomes AS o USING (prediction) GROUP BY 1, 2, 3, 4
  {_ADDED}
)
SELECT experiment FROM new
"""  # noqa: S608  # constants
UNITS = """
INSERT INTO log_units
SELECT new.experiment, new.unit, new.variant, new.is_first AND NOT EXISTS (
  SELECT 1 FROM log_units AS u WHERE u.experiment = new.experiment AND u.unit = new.unit
), false
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[])
  AS new (experiment, unit, variant, is_first)
ON CONFLICT DO NOTHING RETURNING experiment, unit, is_first
"""
MIXED = """
UPDATE log_units SET is_mixed = true
WHERE (experiment, unit) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
"""
REPEATED = "UPDATE log_experiments SET repeated = repeated + $2 WHERE id = $1"
KNOWN = """
UPDATE log_outcomes SET is_known = true WHERE prediction = ANY($1::text[]) AND NOT is_known
"""
OUTCOMES = f"""
WITH new AS (
  INSERT INTO log_outcomes (prediction, metric, value, at_ms, told_ms, is_known)
  SELECT told.prediction, told.metric, told.value, told.at_ms, {_NOW_MS},
    EXISTS (SELECT 1 FROM log_predictions AS p WHERE p.prediction = told.prediction)
  FROM unnest($1::text[], $2::text[], $3::float8[], $4::bigint[])
    AS told (prediction, metric, value, at_ms)
  ON CONFLICT DO NOTHING RETURNING prediction, metric, value, is_known
), added AS (
  INSERT INTO log_sums
  SELECT p.experiment, p.unit, p.variant, new.metric, count(*), sum(new.value), min(new.value),
    max(new.value)
  FROM new JOIN log_predictions AS p USING (prediction) GROUP BY 1, 2, 3, 4
  {_ADDED}
)
SELECT prediction, metric, is_known FROM new
"""  # noqa: S608  # constants

REFUSE = """
DELETE FROM log_outcomes
WHERE (prediction, metric) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
PRUNE_ASIDE = f"""
WITH gone AS (
  DELETE FROM log_outcomes WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM log_outcomes WHERE NOT is_known AND told_ms < {_NOW_MS} - $1 LIMIT $2
  )) RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608  # constants
OLD = f"""
SELECT id FROM log_experiments WHERE seen_ms < {_NOW_MS} - $1 ORDER BY id LIMIT 1
"""  # noqa: S608  # constants
HIDE = "UPDATE log_experiments SET name = 'forgotten ' || id WHERE id = $1"
FORGET_PREDICTIONS = """
DELETE FROM log_predictions WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM log_predictions WHERE experiment = $1 LIMIT $2
)) RETURNING prediction
"""
FORGET_OUTCOMES = """
DELETE FROM log_outcomes AS o WHERE prediction = ANY($1::text[])
AND NOT EXISTS (SELECT 1 FROM log_predictions AS p WHERE p.prediction = o.prediction)
"""
_FORGET_ROWS = """
WITH gone AS (
  DELETE FROM {0} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {0} WHERE experiment = $1 LIMIT $2))
  RETURNING 1
)
SELECT count(*) FROM gone
"""
FORGET_ROWS = (_FORGET_ROWS.format("log_sums"), _FORGET_ROWS.format("log_units"))
FORGET = "DELETE FROM log_experiments WHERE id = $1"

WAITING = "SELECT count(*) FROM log_outcomes WHERE NOT is_known"
EXPERIMENT = "SELECT id, dropped, repeated FROM log_experiments WHERE name = $1"
COUNT_UNITS = """
SELECT variant, count(*), count(*) FILTER (WHERE is_mixed) FROM log_units
WHERE experiment = $1 AND is_first GROUP BY variant
"""
COUNT_UNITS_OF_PREDICTIONS = """
SELECT variant, count(*), 0 FROM log_units WHERE experiment = $1 GROUP BY variant
"""
METRICS = f"""
WITH unit_means AS (
  SELECT s.variant AS variant, metric,
    greatest(-{MAX_VALUE}::float8, least({MAX_VALUE}::float8, total / count)) AS mean, low, high
  FROM log_sums AS s JOIN log_units AS u
  ON u.experiment = s.experiment AND u.unit = s.unit AND u.variant = s.variant
  WHERE s.experiment = $1 AND ($2 OR NOT u.is_mixed)
)
SELECT variant, metric, count(*), avg(mean), coalesce(var_pop(mean), 0) * count(*),
  count(*) FILTER (WHERE low = 1 AND high = 1), count(*) FILTER (WHERE low = 0 AND high = 0),
  min(low), max(high)
FROM unit_means GROUP BY variant, metric
"""  # noqa: S608  # constants
