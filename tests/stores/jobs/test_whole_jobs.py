"""Whole jobs from table to table: each row has one effect, whatever happens in between."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.core.errors import JobOutputError
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.sink import PartWriter, Receipt
from penstock.jobs.batch.sinks.open_tables import open_table_sink
from penstock.jobs.batch.sinks.sql import SqlSink
from penstock.jobs.batch.spec_tables import SqlOutput
from penstock.jobs.batch.transform import open_transform
from penstock.testing.fake_batch import DOUBLING, FakePredictors
from tests.stores.jobs.places import Place
from tests.unit.jobs.batch.fake_job import OPTIONS

ROWS = 95


def job(state: Path, place: Place, model: FakePredictors | None = None) -> JobParts:
    """Doubles the column x of ``input``, or of a file beside where one file is not both."""
    written = Place(place.kind, place.url.replace("jobs.duckdb", "out.duckdb"))
    return JobParts(
        source=place.source(state=state, table="input"),
        sink=open_table_sink(SqlOutput(url=written.url, table="output", key=("id",))),
        predictors=model or FakePredictors(),
        columns=ColumnMap.resolve(DOUBLING, {}),
        open_outputs=partial(OutputColumns.resolve, DOUBLING, keep=("id",)),
        spec_digest="s1",
        state=state,
        transform=open_transform(None),
    )


@pytest.fixture
def filled(place: Place) -> Place:
    kind = {"mariadb": "FLOAT", "postgres": "REAL"}.get(place.kind, "REAL")
    place.run(
        f"CREATE TABLE input (id BIGINT PRIMARY KEY, x {kind})",
        "INSERT INTO input VALUES " + ", ".join(f"({i}, {i})" for i in range(ROWS)),
    )
    return place


def written(place: Place) -> list[tuple[object, ...]]:
    where = Place(place.kind, place.url.replace("jobs.duckdb", "out.duckdb"))
    return where.run("SELECT id, y FROM output ORDER BY id")


EXPECTED = [(i, 2.0 * i) for i in range(ROWS)]


def test_every_row_is_written_once(filled: Place, tmp_path: Path) -> None:
    parts = job(tmp_path / "state", filled)
    report = run_job(parts, OPTIONS)
    parts.close()

    assert (report.tally.rows_in, report.tally.rows_out, report.splits) == (ROWS, ROWS, 10)
    assert written(filled) == EXPECTED


def test_a_job_that_lost_its_state_writes_the_same_again(filled: Place, tmp_path: Path) -> None:
    for _ in range(2):
        parts = job(tmp_path / "state", filled)
        run_job(parts, OPTIONS)
        parts.close()
        shutil.rmtree(tmp_path / "state")

    assert written(filled) == EXPECTED


def test_what_is_done_is_not_predicted_again_and_new_rows_are(
    filled: Place, tmp_path: Path
) -> None:
    first = job(tmp_path / "state", filled)
    run_job(first, OPTIONS)
    first.close()
    filled.run(f"INSERT INTO input VALUES ({ROWS}, {ROWS})")

    model = FakePredictors()
    again = job(tmp_path / "state", filled, model)
    run_job(again, OPTIONS)
    again.close()

    assert sum(model.batches) == 1
    assert written(filled) == [*EXPECTED, (ROWS, 2.0 * ROWS)]


def test_an_answer_to_a_commit_that_is_lost(
    filled: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = SqlSink.open
    lost: list[str] = []

    def open_losing(self: SqlSink, split_id: str, schema: pa.Schema) -> PartWriter:
        writer = opened(self, split_id, schema)
        commit = writer.commit

        def lose() -> Receipt:
            receipt = commit()
            if split_id not in lost:
                lost.append(split_id)
                raise JobOutputError("the answer is lost", retryable=True)
            return receipt

        writer.commit = lose  # type: ignore[method-assign]
        return writer

    monkeypatch.setattr(SqlSink, "open", open_losing)
    parts = job(tmp_path / "state", filled)
    report = run_job(parts, OPTIONS)
    parts.close()

    assert len(lost) == 10
    assert report.tally.rows_out == ROWS
    assert written(filled) == EXPECTED
