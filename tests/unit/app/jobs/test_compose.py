"""A job put together: where its state is, and that a worker finds the same job or none."""

from __future__ import annotations

import contextlib
import functools
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.app.jobs.compose import open_again, open_parts, place_of, state_folder
from penstock.core.errors import ConfigError, JobFailed
from penstock.jobs.batch.spec_file import load_spec, read_spec
from tests.e2e.batch_job import MODEL, Job

FILES = [["a", "b"], ["c"]]


def spec_of(**output: Any) -> Any:
    fields = {
        "name": "j",
        "input": {"format": "parquet", "path": "in"},
        "model": "m",
        "output": output,
    }
    return read_spec(fields, "job.yaml")


@pytest.mark.parametrize(
    ("output", "state", "place"),
    [
        ({"format": "parquet", "path": "out"}, "out/_job", "out"),
        ({"format": "csv", "path": "file:///out"}, "/out/_job", "file:///out"),
        ({"format": "jsonl", "path": "s3://b/out"}, ".penstock-jobs/j", "s3://b/out"),
        (
            {"format": "duckdb", "path": "a.db", "table": "t", "key": ["i"]},
            ".penstock-jobs/j",
            "a.db",
        ),
        (
            {"format": "sql", "url": "postgresql://u:secret@h/d", "table": "t", "key": ["i"]},
            ".penstock-jobs/j",
            "postgresql://***@h/d",
        ),
    ],
)
def test_where_the_state_is_and_what_is_said_of_the_output(
    output: dict[str, Any], state: str, place: str
) -> None:
    spec = spec_of(**output)
    assert state_folder(spec) == Path(state)
    assert place_of(spec) == place


def test_a_state_that_is_said_is_taken() -> None:
    fields = {"name": "j", "input": {"format": "parquet", "path": "in"}, "model": "m"}
    output = {"format": "parquet", "path": "out"}
    assert state_folder(read_spec({**fields, "output": output, "state": "s"}, "")) == Path("s")


def test_a_name_that_is_no_folder() -> None:
    fields = {"name": "a/b", "input": {"format": "parquet", "path": "in"}, "model": "m"}
    output = {"format": "jsonl", "path": "s3://b/out"}
    with pytest.raises(ConfigError, match="name: 'a/b' cannot be the name of a folder"):
        state_folder(read_spec({**fields, "output": output}, ""))


def test_only_what_is_needed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(tmp_path, [])
    table = pa.table({"other": [1.5], "body": ["a"], "id": [7]})
    pq.write_table(table, tmp_path / "in/0.parquet")
    job.edit("format: jsonl", "format: parquet")
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(open_parts(load_spec(tmp_path / "job.yaml"))) as parts:
        assert parts.source.schema().names == ["body", "id"]
    job.edit("keep:", "transform: {sql: 'select body, id from batch where other > 1'}\nkeep:")
    with contextlib.closing(open_parts(load_spec(tmp_path / "job.yaml"))) as parts:
        assert parts.source.schema().names == ["other", "body", "id"]


def test_a_worker_finds_the_same_job_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    spec = load_spec(tmp_path / "job.yaml")
    parts = open_parts(spec)
    identity, digest = parts.predictors.identity, parts.spec_digest
    parts.close()
    again = pickle.loads(pickle.dumps(functools.partial(open_again, spec, identity, digest)))
    found = again()
    assert (found.predictors.identity, found.spec_digest) == (identity, digest)
    found.close()
    job.write_model(MODEL.replace("upper", "title"))
    with pytest.raises(JobFailed, match="a worker found another model 'shout' than the job"):
        again()
