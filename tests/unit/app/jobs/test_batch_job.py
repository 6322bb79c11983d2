"""penstock.BatchJob: run, look, try dead rows again, start over, stop."""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.app.jobs.batch_job import run_options
from penstock.app.jobs.compose import open_parts
from penstock.app.jobs.open_job import load_job
from penstock.core.errors import Cancelled, ConfigError, JobFailed, JobInputError, PenstockError
from penstock.jobs.batch.progress import Progress
from tests.e2e.batch_job import MODEL, Job
from tests.unit.jobs.batch.sources.page_server import Answer, page_server

FILES = [["a", "b"], ["c", "bad"], ["d", "e"]]
MENDED = """
import pathlib

import penstock

class Shout(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        is_mended = pathlib.Path("mended").exists()
        return [
            penstock.InvalidInput(at, "not yet") if one == "bad" and not is_mended else one.upper()
            for at, one in enumerate(text)
        ]
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    return Job(tmp_path, FILES)


def test_from_python_as_from_a_file(job: Job) -> None:
    made = penstock.BatchJob(
        name="made",
        input={"format": "jsonl", "path": "in"},
        model="models",
        columns={"text": "body"},
        output={"format": "jsonl", "path": "made"},
        on_error={"max_rate": 0.5},
    )
    report = made.run()
    assert (report.tally.rows_out, report.tally.rows_dead) == (5, 1)
    assert made.state == Path("made/_job")
    assert sum(len(part.read_text().splitlines()) for part in Path("made").glob("part-*")) == 5


def test_fields_that_are_wrong_name_the_class() -> None:
    with pytest.raises(ConfigError, match=r"^BatchJob: \$\.name: missing"):
        penstock.BatchJob(
            input={"format": "jsonl", "path": "in"},
            model="models",
            output={"format": "jsonl", "path": "made"},
        )


def test_a_plan_knows_what_is_done(job: Job) -> None:
    batch = penstock.BatchJob.load("job.yaml")
    before = batch.plan()
    assert (before.splits, before.splits_done, before.inputs) == (3, 0, {"text": ("body",)})
    assert before.first.startswith("in/0.jsonl")
    assert not Path("out").exists()
    batch.run()
    after = batch.plan()
    assert (after.splits_done, after.first) == (3, "")


def test_a_plan_is_refused_where_a_run_would_be(job: Job) -> None:
    penstock.BatchJob.load("job.yaml").run()
    job.write_model(MODEL.replace("upper", "title"))
    with pytest.raises(JobFailed, match="this output was begun with model 'shout' version 1"):
        penstock.BatchJob.load("job.yaml").plan()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("columns", {"text": "boyd"}, "column 'boyd' .*did you mean 'body'"),
        ("columns", {"text": "id"}, "column 'id' .*expected text or binary"),
        ("keep", ["idd"], "keep: the input has no one column 'idd'"),
        ("rename", {"ouput_": "loud"}, "rename.ouput_: neither an output nor a kept column"),
    ],
)
def test_a_plan_knows_of_columns_that_are_not_there(
    job: Job, field: str, value: Any, told: str
) -> None:
    with pytest.raises((ConfigError, JobInputError), match=told):
        penstock.BatchJob.load("job.yaml", **{field: value}).plan()
    assert not Path("out").exists()


def test_a_plan_of_an_input_that_cannot_be_read_is_refused(job: Job) -> None:
    given = {"format": "parquet", "path": "in"}
    with pytest.raises(PenstockError, match=r"in/0\.jsonl"):
        penstock.BatchJob.load("job.yaml", input=given).plan()


@pytest.mark.parametrize(("engine", "is_apart"), [("local", False), ("processes", True)])
def test_a_model_that_may_crash_is_tried_apart(job: Job, engine: str, *, is_apart: bool) -> None:
    batch = penstock.BatchJob.load("job.yaml", engine=engine)
    with contextlib.closing(open_parts(batch.spec)) as parts:
        assert run_options(batch.spec, parts).looks_apart is is_apart


def test_a_report_names_outputs_as_they_are_written(job: Job) -> None:
    report = penstock.BatchJob.load("job.yaml").run()
    assert list(report.tally.predictions) == ["loud"]
    assert "## Output `loud`" in Path("out/_job/report.md").read_text()


def test_progress_is_told_and_the_status_is_there(job: Job) -> None:
    told: list[Progress] = []
    batch = penstock.BatchJob.load("job.yaml", batch_size=1)
    batch.run(on_progress=told.append)
    assert (told[-1].splits, told[-1].splits_done, told[-1].rows_dead) == (3, 3, 1)
    status = batch.status()
    assert (status.splits, status.done, status.tally.rows_out) == (3, 3, 5)
    assert status.holder is None


def test_a_job_that_is_stopped_goes_on_when_it_is_run_again(job: Job) -> None:
    (job.folder / "models/shout/model.yaml").write_text("runtime_options: {wait_s: 0.5}\n")
    stop = threading.Event()
    stop.set()
    batch = penstock.BatchJob.load("job.yaml")
    with pytest.raises(Cancelled):
        batch.run(stop=stop)
    assert not job.is_whole
    batch.run()
    assert job.is_whole


def test_dead_rows_live_once_the_cause_is_mended(job: Job) -> None:
    job.write_model(MENDED)
    batch = penstock.BatchJob.load("job.yaml")
    assert batch.run().tally.rows_dead == 1
    assert batch.retry_dead().tally.rows_dead == 1
    before = job.parts
    Path("mended").touch()
    report = batch.retry_dead()
    assert (report.tally.rows_out, report.tally.rows_dead) == (6, 0)
    assert sum(before[name] != part for name, part in job.parts.items()) == 1
    assert (3, "BAD") in job.rows()


def test_to_start_over_removes_what_the_job_has_written_and_nothing_else(job: Job) -> None:
    batch = penstock.BatchJob.load("job.yaml")
    batch.run()
    (job.folder / "out/mine.txt").write_text("keep")
    (job.folder / "out/_job/mine.txt").write_text("keep")
    job.write_model(MODEL.replace("upper", "title"))
    report = batch.run(fresh=True)
    assert (report.splits, report.done_before) == (3, 0)
    assert len(job.parts) == 3
    assert (0, "A") in job.rows()
    assert (job.folder / "out/mine.txt").read_text() == "keep"
    assert (job.folder / "out/_job/mine.txt").read_text() == "keep"


def test_to_start_over_asks_an_api_for_all_its_pages_again(job: Job) -> None:
    texts = ["one", "two"]
    with page_server(lambda asked: Answer([{"id": 1, "body": texts[0]}])) as server:
        batch = penstock.BatchJob.load("job.yaml", input={"format": "http", "url": server.url})
        for expected in ("ONE", "ONE"):
            batch.run()
            assert job.rows() == [(1, expected)]
        texts.pop(0)
        batch.run()
        assert (job.rows(), len(server.asked)) == ([(1, "ONE")], 1)
        batch.run(fresh=True)
        assert (job.rows(), len(server.asked)) == ([(1, "TWO")], 2)


def test_to_start_over_cuts_a_table_anew(job: Job) -> None:
    with contextlib.closing(sqlite3.connect("in.db")) as db:
        db.execute("CREATE TABLE tweets (id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO tweets VALUES (?, 'a')", [(at,) for at in range(0, 20, 2)])
        db.commit()
        table = {"format": "sql", "url": "sqlite:///in.db", "table": "tweets", "key": "id"}
        batch = penstock.BatchJob.load("job.yaml", input=table, split_rows=5)
        assert batch.run().splits == 2
        db.executemany("INSERT INTO tweets VALUES (?, 'a')", [(at,) for at in range(1, 9, 2)])
        db.commit()
        with pytest.raises(JobFailed, match="the input was changed"):
            batch.run()
        assert batch.run(fresh=True).splits == 3  # not a split of nine rows and one of five
        assert len(job.rows()) == 14


def test_nothing_in_a_store_is_removed(job: Job) -> None:
    output = {"format": "parquet", "path": "memory://bucket/out"}
    with pytest.raises(ConfigError, match="is in a store: empty it yourself"):
        penstock.BatchJob.load("job.yaml", output=output).run(fresh=True)


def test_without_pyarrow_the_way_to_it_is_told(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def no_pyarrow(name: str) -> Any:
        return None if name == "pyarrow" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", no_pyarrow)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[batch\]'"):
        load_job(Path("job.yaml"), {})
