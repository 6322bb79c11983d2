"""Experiments of one process: exposures in, outcomes in, sums out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from penstock.core.errors import StoreError
from penstock.rollout.experiment.experiments import Experiments, unit_of
from penstock.rollout.experiment.state import WARM
from penstock.router.route import Route, Variant
from penstock.stores.experiment_log_buffer import ExposureBufferOptions
from penstock.stores.experiment_log_sqlite import SqliteExperimentLog
from penstock.testing.fake_clock import FakeClock
from tests.stores.test_sqlite_faults import held

ROUTE = Route(
    variants=(
        Variant(name="a", version=1, weight=50.0),
        Variant(name="b", version=2, weight=50.0),
    ),
    stage="e",
    experiment="e",
)
BY_HAND = ExposureBufferOptions(flush_s=3600.0, retry_s=3600.0, max_bytes=1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def experiments(path: Path) -> AsyncIterator[Experiments]:
    opened = Experiments(SqliteExperimentLog(path), clock=FakeClock(), options=BY_HAND)
    yield opened
    await opened.close()


def is_there(path: Path) -> bool:
    return path.exists()


def row(prediction_id: str, value: object) -> dict[str, object]:
    return {"prediction_id": prediction_id, "metric": "m", "value": value}


async def test_an_outcome_told_right_after_its_answer_is_known(experiments: Experiments) -> None:
    experiments.exposed("m", ROUTE, "a", "ann", "1")
    told = await experiments.record([row("1", 1), row("1", 2), row("x", 3), row("2", "cat")])
    assert (told.taken, told.duplicates, told.unknown) == (2, (2,), (3,))
    assert [(one.row, one.field) for one in told.rejected] == [(4, "value")]
    moments = await experiments.moments("m", "e", "m")
    assert moments["a"].mean == 1


async def test_rows_that_are_all_wrong_write_nothing(experiments: Experiments, path: Path) -> None:
    told = await experiments.record(["x", 1])
    assert (told.taken, len(told.rejected)) == (0, 2)
    assert not is_there(path)


async def test_where_no_key_is_wanted_each_request_is_a_unit(experiments: Experiments) -> None:
    for id_ in ("1", "2"):
        experiments.exposed("m", ROUTE, "a", "", id_)
    assert (await experiments.tally("e")).variants["a"].units == 2


async def test_any_id_and_key_is_taken(experiments: Experiments) -> None:
    experiments.exposed("m", ROUTE, "a", "\xff\x00", "p\ud800")
    experiments.exposed("m", ROUTE, "a", "", "é")
    assert (await experiments.record([row("é", 1)])).unknown == ()
    assert (await experiments.tally("e")).variants["a"].units == 2


async def test_while_versions_are_being_loaded_nobody_is_exposed(experiments: Experiments) -> None:
    route = msgspec.structs.replace(ROUTE, experiment=f"e{WARM}", stage=f"e{WARM}")
    experiments.exposed("m", route, "a", "ann", "1")
    assert (await experiments.tally(f"e{WARM}")).variants == {}


async def test_what_overflows_is_in_the_tally(experiments: Experiments) -> None:
    for number in range(10):
        experiments.exposed("m", ROUTE, "a", f"u{number}", str(number))
    tally = await experiments.tally("e")
    assert tally.variants["a"].units + tally.dropped == 10
    assert tally.dropped > 0


async def test_a_log_that_fails_is_told_of_and_exposures_wait(
    experiments: Experiments, path: Path
) -> None:
    await experiments.tally("e")
    experiments.exposed("m", ROUTE, "a", "ann", "1")
    with held(path, "writes"), pytest.raises(StoreError):
        await experiments.record([row("1", 1)])
    assert (await experiments.record([row("1", 1)])).taken == 1
    assert (await experiments.tally("e")).variants["a"].units == 1


async def test_the_end_writes_what_waits(path: Path) -> None:
    experiments = Experiments(SqliteExperimentLog(path), options=BY_HAND)
    experiments.exposed("m", ROUTE, "a", "ann", "1")
    assert await experiments.close() == 0
    log = SqliteExperimentLog(path)
    assert (await log.tally("e")).variants["a"].units == 1
    await log.close()


def test_a_long_key_is_written_down_as_its_hash() -> None:
    assert unit_of("ann") == "ann"
    long, longer = unit_of("x" * 129), unit_of("x" * 130)
    assert len(long) == 33
    assert long != longer
