"""The experiment log in a real file: who belongs to whom, what counts once, what is kept aside."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.experiment_log import (
    ExperimentLog,
    ExperimentTally,
    Exposure,
    PredictionOutcome,
    VariantTally,
)
from penstock.stores.experiment_log_postgres import PostgresExperimentLog
from penstock.stores.experiment_log_sqlite import SqliteExperimentLog
from penstock.stores.postgres_url import parse_postgres_url
from penstock.testing.fake_clock import FakeClock
from tests.stores.postgres_server import PostgresServer
from tests.stores.test_sqlite_faults import held


def exposure(unit: str, variant: str, prediction: str, experiment: str = "e") -> Exposure:
    return Exposure(experiment, unit, variant, prediction, 1)


def outcome(prediction: str, value: float, metric: str = "m") -> PredictionOutcome:
    return PredictionOutcome(prediction, metric, value, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db.experiments"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["file", "postgresql"])
def make_log(
    request: pytest.FixtureRequest, path: Path, clock: FakeClock
) -> Callable[[], ExperimentLog]:
    """Opens the same log once more."""
    if request.param == "file":
        return lambda: SqliteExperimentLog(path, clock=clock)
    server: PostgresServer = request.getfixturevalue("shared_postgres")
    url = parse_postgres_url(f"{server.url}?schema=log_{uuid.uuid4().hex[:12]}")
    return lambda: PostgresExperimentLog(url, clock=clock)


@pytest.fixture
async def log(make_log: Callable[[], ExperimentLog]) -> AsyncIterator[ExperimentLog]:
    opened = make_log()
    yield opened
    await opened.close()


@pytest.fixture
async def other(make_log: Callable[[], ExperimentLog]) -> AsyncIterator[ExperimentLog]:
    """The same log, as another process has it open."""
    opened = make_log()
    yield opened
    await opened.close()


@pytest.fixture
async def file(path: Path, clock: FakeClock) -> AsyncIterator[SqliteExperimentLog]:
    opened = SqliteExperimentLog(path, clock=clock)
    yield opened
    await opened.close()


async def test_a_unit_counts_once_with_the_mean_of_its_outcomes(
    log: ExperimentLog, other: ExperimentLog
) -> None:
    await log.expose([exposure("u", "a", "1"), exposure("u", "a", "2"), exposure("v", "a", "3")])
    await other.expose([exposure("w", "b", "4")])
    await other.record([outcome("1", 1), outcome("2", 3), outcome("3", 5), outcome("4", 7)])
    tally = await log.tally("e")
    told = tally.variants["a"].metrics["m"]
    assert (tally.variants["a"].units, told.moments.count, told.moments.mean) == (2, 2, 3.5)
    assert told.moments.m2 == pytest.approx(4.5)
    assert (told.low, told.high) == (1, 5)
    assert tally.variants["b"].metrics["m"].moments.mean == 7


async def test_values_far_from_zero_keep_their_digits(log: ExperimentLog) -> None:
    values = 1e9 + np.random.default_rng(1).normal(0, 1, 500)
    await log.expose([exposure(f"u{i}", "a", str(i)) for i in range(500)])
    await log.record([outcome(str(i), float(value)) for i, value in enumerate(values)])
    moments = (await log.tally("e")).variants["a"].metrics["m"].moments
    assert moments.mean == pytest.approx(values.mean(), rel=1e-15)
    assert moments.m2 == pytest.approx(values.var() * 500, rel=1e-6)


async def test_yes_and_no_are_counted_by_unit(log: ExperimentLog) -> None:
    await log.expose([exposure(str(i // 2), "a", str(i)) for i in range(6)])
    values = [1, 1, 0, 0, 0, 1]  # always yes, always no, both
    await log.record([outcome(str(i), value) for i, value in enumerate(values)])
    told = (await log.tally("e")).variants["a"].metrics["m"]
    assert (told.ones, told.zeros, told.moments.count) == (1, 1, 3)


async def test_a_unit_that_met_two_variants_is_left_out_and_counted(
    log: ExperimentLog, other: ExperimentLog
) -> None:
    await log.expose([exposure("u", "a", "1"), exposure("v", "a", "2")])
    await other.expose([exposure("u", "b", "3"), exposure("w", "b", "4")])
    await log.record([outcome(id_, 1) for id_ in "1234"])
    variants = (await log.tally("e")).variants
    assert (variants["a"].units, variants["a"].mixed_units) == (2, 1)
    assert (variants["b"].units, variants["b"].mixed_units) == (1, 0)
    assert {name: one.metrics["m"].moments.count for name, one in variants.items()} == {
        "a": 1,
        "b": 1,
    }


async def test_by_prediction_a_unit_counts_for_each_variant_it_met(
    log: ExperimentLog,
) -> None:
    await log.expose([exposure("u", "a", "1"), exposure("u", "b", "2"), exposure("u", "b", "3")])
    await log.record([outcome("1", 4), outcome("2", 6), outcome("3", 8)])
    variants = (await log.tally("e", by_prediction=True)).variants
    assert {name: (one.units, one.mixed_units) for name, one in variants.items()} == {
        "a": (1, 0),
        "b": (1, 0),
    }
    assert variants["b"].metrics["m"].moments.mean == 7


async def test_the_first_outcome_of_a_prediction_and_metric_counts(
    log: ExperimentLog, other: ExperimentLog
) -> None:
    await log.expose([exposure("u", "a", "1")])
    assert await log.record([outcome("1", 1), outcome("1", 9)]) == (1, (1,), ())
    assert await other.record([outcome("1", 9), outcome("1", 2, "other")]) == (1, (0,), ())
    metrics = (await log.tally("e")).variants["a"].metrics
    assert (metrics["m"].high, metrics["other"].high) == (1, 2)


async def test_an_outcome_that_comes_first_counts_as_soon_as_its_exposure_is_there(
    log: ExperimentLog, other: ExperimentLog
) -> None:
    assert await log.record([outcome("1", 5), outcome("x", 5)]) == (2, (), (0, 1))
    assert await log.tally("e") == ExperimentTally(waiting=2)
    await other.expose([exposure("u", "a", "1")])
    tally = await log.tally("e")
    assert tally.waiting == 1
    assert tally.variants["a"].metrics["m"].moments.mean == 5


async def test_huge_values_that_are_there_already_break_no_tally(log: ExperimentLog) -> None:
    values = [1e200, -1e200, sys.float_info.max, -sys.float_info.max, 1.0]
    await log.expose([exposure(f"u{n}", "a", str(n)) for n in range(5)])
    await log.expose([exposure("v", "b", "5")])
    await log.record([outcome(str(n), value) for n, value in enumerate([*values, 2.0])])
    variants = (await log.tally("e")).variants
    for name in "ab":
        moments = variants[name].metrics["m"].moments
        assert math.isfinite(moments.mean)
        assert math.isfinite(moments.m2)


async def test_one_prediction_may_be_of_several_experiments(log: ExperimentLog) -> None:
    await log.expose([exposure("u", "a", "1", "e"), exposure("m", "b", "1", "f")])
    await log.record([outcome("1", 5)])
    for name, variant in (("e", "a"), ("f", "b")):
        assert (await log.tally(name)).variants[variant].metrics["m"].moments.count == 1


async def test_ids_that_were_used_before_are_counted(log: ExperimentLog) -> None:
    await log.expose([exposure("u", "a", "1"), exposure("v", "b", "1")])
    tally = await log.tally("e")
    assert tally.repeated == 1
    assert tally.variants == {"a": VariantTally(1), "b": VariantTally(1)}


async def test_any_text_is_taken_as_an_id(log: ExperimentLog) -> None:
    await log.expose([exposure("\0 é", "a", "\0 é", "\0 é"), exposure("", "a", "2", "\0 é")])
    assert await log.record([outcome("\0 é", 1), outcome("2", 2)]) == (2, (), ())
    assert (await log.tally("\0 é")).variants["a"].metrics["m"].moments.mean == 1.5


async def test_many_processes_write_at_once(make_log: Callable[[], ExperimentLog]) -> None:
    logs = [make_log() for _ in range(3)]
    batches = [
        one.expose([exposure(f"u{n}", "ab"[k % 2], f"{k} {n}") for n in range(50)])
        for k, one in enumerate(logs)
    ]
    tells = [one.record([outcome(f"{k} {n}", n) for n in range(50)]) for k, one in enumerate(logs)]
    await asyncio.gather(*batches, *tells)
    tally = await logs[0].tally("e")
    assert sum(one.units for one in tally.variants.values()) == 50
    assert sum(one.mixed_units for one in tally.variants.values()) == 50
    by_prediction = await logs[0].tally("e", by_prediction=True)
    counts = {name: one.metrics["m"].moments.count for name, one in by_prediction.variants.items()}
    assert counts == {"a": 50, "b": 50}
    for one in logs:
        await one.close()


async def test_dropped_exposures_are_counted(log: ExperimentLog) -> None:
    await log.expose([], {"e": 3})
    await log.expose([exposure("u", "a", "1")], {"e": 4, "f": 1})
    assert ((await log.tally("e")).dropped, (await log.tally("f")).dropped) == (7, 1)


async def test_a_file_that_is_locked_is_told_of_and_nothing_is_written(
    file: SqliteExperimentLog, path: Path
) -> None:
    await file.expose([exposure("u", "a", "1")])
    with held(path, "writes"), pytest.raises(StoreError) as caught:
        await file.record([outcome("1", 1)])
    assert caught.value.fault is StoreFault.LOCKED
    assert str(path) not in caught.value.message
    assert await file.record([outcome("1", 1)]) == (1, (), ())


async def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    log = SqliteExperimentLog(path)
    with pytest.raises(StoreError, match="not an experiment log"):
        await log.tally("e")
    await log.close()


_UNITS, _IDS = st.sampled_from("uvw"), st.sampled_from("123456")


@settings(max_examples=20)
@given(
    st.lists(st.tuples(_UNITS, st.sampled_from("ab"), _IDS), unique_by=lambda one: one[2]),
    st.lists(st.tuples(_IDS, st.integers(0, 5)), unique_by=lambda one: one[0]),
    st.randoms(use_true_random=False),
)
def test_it_does_not_matter_what_is_written_first(exposed, told, chance) -> None:
    """Law: exposures and outcomes may come in any order and in any batches."""
    exposures = [exposure(*one) for one in exposed]
    outcomes = [outcome(id_, value) for id_, value in told]

    async def tallied(folder: str, is_mixed_up: bool) -> ExperimentTally:
        log = SqliteExperimentLog(Path(folder) / "log.db")
        writes = [*(log.expose([one]) for one in exposures), *(log.record([o]) for o in outcomes)]
        if is_mixed_up:
            late = writes[len(exposures) :]
            writes = [*late, *writes[: len(exposures)]]
            cut = chance.randint(0, len(late))
            writes = [*writes[:cut], *writes[len(late) :], *writes[cut : len(late)]]
        for write in writes:
            await write
        found = await log.tally("e")
        await log.close()
        return found

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        assert asyncio.run(tallied(one, False)) == asyncio.run(tallied(other, True))
