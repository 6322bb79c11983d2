"""What an experiment log forgets: when, how much at once, and that no write fails of it."""
# ruff: noqa: F811  # fixtures of another module

from __future__ import annotations

import logging
import sqlite3
import uuid
from pathlib import Path

import asyncpg
import pytest

from penstock.core.errors import Overloaded
from penstock.stores import (
    experiment_log_postgres,
    experiment_log_postgres_statements,
    experiment_log_statements,
)
from penstock.stores.experiment_log import KEPT_ASIDE_MS, KEPT_MS, ExperimentLog, ExperimentTally
from penstock.stores.experiment_log_postgres import PostgresExperimentLog
from penstock.stores.experiment_log_sqlite import SqliteExperimentLog
from penstock.stores.postgres_url import parse_postgres_url
from penstock.testing.fake_clock import FakeClock
from tests.stores.postgres_server import PostgresServer
from tests.stores.test_experiment_log import (  # noqa: F401  # fixtures
    clock,
    exposure,
    file,
    log,
    make_log,
    outcome,
    path,
)


async def test_what_is_kept_aside_is_forgotten_after_a_day(
    file: SqliteExperimentLog, clock: FakeClock
) -> None:
    await file.record([outcome("x", 5)])
    clock.advance(KEPT_ASIDE_MS / 1000 - 10)
    await file.record([outcome("y", 5)])
    await file.expose([exposure("u", "a", "1")])
    assert (await file.tally("e")).waiting == 2
    clock.advance(3700)
    await file.expose([exposure("v", "a", "2")])
    assert (await file.tally("e")).waiting == 1


async def test_an_experiment_is_forgotten_long_after_its_last_exposure(
    file: SqliteExperimentLog, clock: FakeClock, path: Path
) -> None:
    await file.expose([exposure("u", "a", "1"), exposure("u", "a", "shared")])
    await file.record([outcome("1", 5), outcome("shared", 5)])
    clock.advance(KEPT_MS / 1000 + 1)
    await file.expose([exposure("u", "a", "shared", "young")])
    assert await file.tally("e") == ExperimentTally()
    assert (await file.tally("young")).variants["a"].metrics["m"].moments.count == 1
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT prediction FROM outcomes").fetchall() == [("shared",)]
    db.close()


async def test_postgresql_forgets_too(
    shared_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = parse_postgres_url(f"{shared_postgres.url}?schema=log_{uuid.uuid4().hex[:12]}")
    log, later = PostgresExperimentLog(url), PostgresExperimentLog(url)
    await log.expose([exposure("u", "a", "1", "old"), exposure("u", "a", "shared", "old")])
    await log.expose([exposure("u", "a", "shared", "young")])
    await log.record([outcome("1", 5), outcome("shared", 5), outcome("nobody", 5)])
    monkeypatch.setattr(experiment_log_postgres, "KEPT_ASIDE_MS", -1000)
    monkeypatch.setattr(experiment_log_postgres, "KEPT_MS", -1000)
    await later.expose([])  # the first batch of a process; forgets one experiment, the oldest
    assert await log.tally("old") == ExperimentTally()
    assert (await log.tally("young")).variants["a"].metrics["m"].moments.count == 1
    assert await log.record([outcome("1", 6), outcome("shared", 6)]) == (1, (1,), (0,))
    for one in (log, later):
        await one.close()


async def test_outcomes_alone_forget_what_is_kept_aside_too(
    log: ExperimentLog, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.record([outcome("x", 5)])
    monkeypatch.setattr(experiment_log_postgres, "KEPT_ASIDE_MS", -1000)  # it has its own clock
    clock.advance(KEPT_ASIDE_MS / 1000 + 1)
    await log.record([])
    assert (await log.tally("e")).waiting == 0


async def test_what_is_written_is_written_whether_or_not_the_old_is_forgotten(
    log: ExperimentLog,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(experiment_log_statements, "_OLD_ASIDE", "SELECT nonsense")
    monkeypatch.setattr(experiment_log_postgres_statements, "PRUNE_ASIDE", "SELECT nonsense")
    with caplog.at_level(logging.WARNING, "penstock.stores"):
        await log.expose([exposure("u", "a", "1")])
        clock.advance(7200)
        assert await log.record([outcome("1", 5)]) == (1, (), ())
    tally = await log.tally("e")
    assert (tally.variants["a"].units, tally.repeated) == (1, 0)
    (told,) = [one for one in caplog.records if "forget" in one.message]
    assert "nonsense" in told.message


_COUNTS = (
    "SELECT (SELECT count(*) FROM predictions), (SELECT count(*) FROM sums), "
    "(SELECT count(*) FROM units), (SELECT count(*) FROM experiments)"
)
_PIECE_BY_PIECE = [
    (1, 3, 3, 1),
    (0, 2, 3, 1),
    (0, 0, 3, 1),
    (0, 0, 1, 1),
    (0, 0, 0, 0),
    (0, 0, 0, 0),
]
"""What is left of three predictions, sums and units where two rows are forgotten at once."""


async def test_the_old_is_forgotten_a_piece_with_each_write_the_experiment_itself_last(
    file: SqliteExperimentLog, clock: FakeClock, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_log_statements, "PRUNED_AT_ONCE_ROWS", 2)
    await file.expose([exposure(str(n), "a", str(n)) for n in range(3)])
    await file.record([outcome(str(n), 5) for n in range(3)])
    clock.advance(KEPT_MS / 1000 + 1)
    seen = []
    for _ in range(6):
        await file.expose([])
        with sqlite3.connect(path) as db:
            seen.append(db.execute(_COUNTS).fetchone())
        db.close()
        assert await file.tally("e") == ExperimentTally()
    assert seen == _PIECE_BY_PIECE


async def test_postgresql_forgets_a_piece_with_each_write(
    shared_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = f"log_{uuid.uuid4().hex[:12]}"
    url = parse_postgres_url(f"{shared_postgres.url}?schema={schema}")
    log, later = PostgresExperimentLog(url), PostgresExperimentLog(url)
    await log.expose([exposure(str(n), "a", str(n)) for n in range(3)])
    await log.record([outcome(str(n), 5) for n in range(3)])
    monkeypatch.setattr(experiment_log_postgres, "KEPT_MS", -1000)
    monkeypatch.setattr(experiment_log_postgres, "PRUNED_AT_ONCE_ROWS", 2)
    db = await asyncpg.connect(shared_postgres.url)
    await db.execute(f"SET search_path TO {schema}")
    seen = []
    for _ in range(6):
        await later.expose([])
        seen.append(tuple(await db.fetchrow(_COUNTS.replace("FROM ", "FROM log_"))))
        assert await log.tally("e") == ExperimentTally()
    assert seen == _PIECE_BY_PIECE
    await db.close()
    for one in (log, later):
        await one.close()


async def test_only_so_many_outcomes_are_kept_aside(
    log: ExperimentLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (experiment_log_statements, experiment_log_postgres):
        monkeypatch.setattr(module, "MAX_ASIDE_ROWS", 2)
    await log.expose([exposure("u", "a", "1")])
    told = [outcome("x", 5), outcome("y", 5), outcome("z", 5), outcome("1", 5)]
    for _ in range(2):  # whoever sends all of it again is told the same
        with pytest.raises(Overloaded, match=r"1 of 4 rows were not taken.*nobody knows"):
            await log.record(told)
        tally = await log.tally("e")
        assert tally.waiting == 2
        assert tally.variants["a"].metrics["m"].moments.count == 1
    assert (await log.record([outcome("1", 5, "other")])).num_new == 1
