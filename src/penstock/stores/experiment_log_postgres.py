"""PostgresExperimentLog: the experiment log of many machines, in a PostgreSQL database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from penstock.core.clock import Clock, SystemClock
from penstock.evidence.means import Moments
from penstock.stores import experiment_log_postgres_statements as sql
from penstock.stores.experiment_log import (
    KEPT_ASIDE_MS,
    KEPT_MS,
    MAX_ASIDE_ROWS,
    PRUNED_AT_ONCE_ROWS,
    ExperimentTally,
    Exposure,
    MetricTally,
    PredictionOutcome,
    Recorded,
    VariantTally,
    too_many_aside,
)
from penstock.stores.experiment_log_pruning import Pruning
from penstock.stores.postgres_link import PostgresLink, Transaction
from penstock.stores.postgres_url import PostgresUrl

_NAME = "the experiment log"
"""In errors, which clients read: no address."""

_TALLY_TIMEOUT_S = 30.0


class PostgresExperimentLog:
    """An ``ExperimentLog`` in tables of a schema of a PostgreSQL database, 10 or later.

    Times of keeping are the server's. Beside a ``PostgresControlStore``, or alone.

    Args:
        url: where it is.
        clock: when to forget what is old; None: the machine's.

    Concurrency: on the event loop that uses it. The constructor connects to nothing; the first
    call makes schema and tables where there are none. A write takes two seconds at most, a tally
    half a minute.
    """

    def __init__(self, url: PostgresUrl, *, clock: Clock | None = None) -> None:
        self._schema = url.schema
        self._writer = PostgresLink(url, _NAME, self._begin)
        self._reader = PostgresLink(url, _NAME, self._begin, timeout_s=_TALLY_TIMEOUT_S)
        self._pruning = Pruning(self._forget_piece, (clock or SystemClock()).monotonic_ns)

    async def expose(
        self, exposures: Sequence[Exposure], dropped: Mapping[str, int] | None = None
    ) -> None:
        """See ``ExperimentLog.expose``."""
        lost = dict(dropped or {})

        async def work(db: asyncpg.Connection) -> None:
            async with Transaction(db):
                await db.execute(sql.LOCK)
                await _expose(db, exposures, lost)

        await self._writer.run(work)
        await self._pruning.turn()

    async def record(self, outcomes: Sequence[PredictionOutcome]) -> Recorded:
        """See ``ExperimentLog.record``."""
        first: dict[tuple[str, str], int] = {}
        for position, one in enumerate(outcomes):
            first.setdefault((_text(one.prediction_id), _text(one.metric)), position)
        chosen = [outcomes[position] for position in first.values()]
        columns = (
            [prediction for prediction, _ in first],
            [metric for _, metric in first],
            [one.value for one in chosen],
            [one.at_ms for one in chosen],
        )

        async def work(db: asyncpg.Connection) -> tuple[list[Any], int]:
            async with Transaction(db):
                await db.execute(sql.LOCK)
                found: list[Any] = await db.fetch(sql.OUTCOMES, *columns)
                return found, await _refuse(db, [row[:2] for row in found if not row[2]])

        rows, num_refused = await self._writer.run(work)
        await self._pruning.turn()
        if num_refused:
            raise too_many_aside(num_refused, len(outcomes))
        new = {first[row[0], row[1]]: row[2] for row in rows}
        duplicates = tuple(at for at in range(len(outcomes)) if at not in new)
        unknown = tuple(sorted(at for at, is_known in new.items() if not is_known))
        return Recorded(len(new), duplicates, unknown)

    async def tally(self, experiment: str, *, by_prediction: bool = False) -> ExperimentTally:
        """See ``ExperimentLog.tally``."""

        async def work(db: asyncpg.Connection) -> ExperimentTally:
            async with db.transaction(isolation="repeatable_read", readonly=True):
                return await _tally(db, _text(experiment), by_prediction)

        return await self._reader.run(work)

    async def close(self) -> None:
        """See ``ExperimentLog.close``."""
        await self._writer.close()
        await self._reader.close()

    async def _forget_piece(self) -> bool:
        return await self._writer.run(_prune)

    async def _begin(self, db: asyncpg.Connection) -> None:
        if await db.fetchval(sql.IS_THERE):
            return
        async with Transaction(db):
            await db.execute(sql.LOCK_MAKING)
            if not await db.fetchval(sql.HAS_SCHEMA, self._schema):
                await db.execute(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"')
            await db.execute(sql.TABLES)


async def _expose(
    db: asyncpg.Connection, exposures: Sequence[Exposure], dropped: Mapping[str, int]
) -> None:
    names = sorted({*(one.experiment for one in exposures), *dropped})
    ids = {name: await db.fetchval(sql.SEEN, _text(name), dropped.get(name, 0)) for name in names}
    if not exposures:
        return
    predictions = [_text(one.prediction_id) for one in exposures]
    written = await db.fetch(
        sql.PREDICTIONS,
        predictions,
        [ids[one.experiment] for one in exposures],
        [_text(one.unit) for one in exposures],
        [one.variant for one in exposures],
        [one.at_ms for one in exposures],
    )
    await db.execute(sql.KNOWN, predictions)
    repeated = Counter(ids[one.experiment] for one in exposures)
    repeated -= Counter(row[0] for row in written)
    for number, count in repeated.items():
        await db.execute(sql.REPEATED, number, count)
    await _add_units(db, [(ids[one.experiment], _text(one.unit), one.variant) for one in exposures])


async def _add_units(db: asyncpg.Connection, met: Sequence[tuple[int, str, str]]) -> None:
    """Note which units met which variants, and which of them met more than one."""
    first: dict[tuple[int, str], str] = {}
    for number, unit, variant in met:
        first.setdefault((number, unit), variant)
    rows = [
        (number, unit, variant, first[number, unit] == variant)
        for number, unit, variant in dict.fromkeys(met)
    ]
    added = await db.fetch(sql.UNITS, *map(list, zip(*rows, strict=True)))
    mixed = [(number, unit) for number, unit, is_first in added if not is_first]
    if mixed:
        await db.execute(sql.MIXED, *map(list, zip(*mixed, strict=True)))


async def _refuse(db: asyncpg.Connection, unknown: Sequence[tuple[str, str]]) -> int:
    """Take back some of what was kept aside just now, where that is too much; how many."""
    if not unknown:
        return 0
    num_over = await db.fetchval(sql.WAITING) - MAX_ASIDE_ROWS
    refused = unknown[max(0, len(unknown) - num_over) :] if num_over > 0 else ()
    if refused:
        await db.execute(sql.REFUSE, *map(list, zip(*refused, strict=True)))
    return len(refused)


async def _prune(db: asyncpg.Connection) -> bool:
    """Forget a piece: outcomes of unknown predictions, or of an experiment not met for long.

    An experiment has no tally any more as soon as its first piece is forgotten.

    Returns:
        whether there may be more.
    """
    async with Transaction(db):
        await db.execute(sql.LOCK)
        left = PRUNED_AT_ONCE_ROWS
        left -= await db.fetchval(sql.PRUNE_ASIDE, KEPT_ASIDE_MS, left)
        number = await db.fetchval(sql.OLD, KEPT_MS)
        if number is not None and left:
            await _forget(db, number, left)
    return number is not None or not left


async def _forget(db: asyncpg.Connection, number: int, left: int) -> None:
    """Delete so many rows of an experiment; itself last."""
    await db.execute(sql.HIDE, number)
    gone = [row[0] for row in await db.fetch(sql.FORGET_PREDICTIONS, number, left)]
    await db.execute(sql.FORGET_OUTCOMES, gone)
    left -= len(gone)
    for statement in sql.FORGET_ROWS:
        left -= await db.fetchval(statement, number, left)
    if left:
        await db.execute(sql.FORGET, number)


async def _tally(db: asyncpg.Connection, experiment: str, by_prediction: bool) -> ExperimentTally:
    waiting: int = await db.fetchval(sql.WAITING)
    found = await db.fetchrow(sql.EXPERIMENT, experiment)
    if found is None:
        return ExperimentTally(waiting=waiting)
    number, dropped, repeated = found
    metrics: dict[str, dict[str, MetricTally]] = {}
    for variant, metric, count, mean, m2, *rest in await db.fetch(
        sql.METRICS, number, by_prediction
    ):
        told = MetricTally(Moments(count, mean, m2), *rest)
        metrics.setdefault(variant, {})[metric] = told
    statement = sql.COUNT_UNITS_OF_PREDICTIONS if by_prediction else sql.COUNT_UNITS
    rows = await db.fetch(statement, number)
    units = {name: (count, mixed) for name, count, mixed in rows}
    variants = {
        name: VariantTally(*units.get(name, (0, 0)), metrics=metrics.get(name, {}))
        for name in sorted(units.keys() | metrics.keys())
    }
    return ExperimentTally(variants, dropped, repeated, waiting)


def _text(text: str) -> str:
    """A text as PostgreSQL can hold it: without a NUL."""
    return text.replace("\0", "\ufffd")
