"""BatchSpec: what a job's file may say, what a slip is answered with, and its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.batch.spec import INPUTS, OUTPUTS, BatchSpec, spec_digest
from penstock.jobs.batch.spec_file import load_spec, read_spec
from penstock.jobs.batch.spec_inputs import ParquetInput
from penstock.jobs.batch.spec_outputs import CsvOutput
from penstock.jobs.model_ref import ModelRef

WHOLE = """
name: nightly
input: {format: parquet, path: "tweets/*.parquet"}
model: {path: models/, name: tweet, version: stable}
columns: {text: body, x: [a, b, c]}
transform: {sql: "select * from batch"}
output: {format: csv, path: out/, delimiter: ";"}
keep: [id, body]
rename: {label: sentiment}
batch_size: auto
split_rows: 1000
memory: 2GiB
on_error: {max_rate: 0.01, bad_files: skip}
engine: processes
workers: 4
schedule: "0 2 * * *"
"""
SMALL: dict[str, Any] = {
    "name": "small",
    "input": {"format": "parquet", "path": "in"},
    "model": {"path": "models"},
    "output": {"format": "parquet", "path": "out"},
}


def small(**fields: Any) -> BatchSpec:
    return read_spec({**SMALL, **fields}, "job.yaml")


def test_every_field_is_read(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(WHOLE)
    spec = load_spec(tmp_path / "job.yaml")
    assert spec.input == ParquetInput(path="tweets/*.parquet")
    assert spec.output == CsvOutput(path="out/", delimiter=";")
    assert spec.model == ModelRef(path="models/", name="tweet", version="stable")
    assert spec.columns == {"text": "body", "x": ("a", "b", "c")}
    assert (spec.memory, spec.on_error.bad_files, spec.workers) == (2 * 1024**3, "skip", 4)


def test_a_model_may_be_a_path_alone() -> None:
    assert small(model="models/a.onnx").model == ModelRef(path="models/a.onnx")


def test_what_is_said_elsewhere_wins_and_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(WHOLE)
    assert load_spec(path, {"engine": "local", "batch_size": 8}).batch_size == 8
    with pytest.raises(ConfigError, match=r"^command line: \$.engine: expected 'local' or"):
        load_spec(path, {"engine": "loca"})


def test_every_format_is_known_by_its_name() -> None:
    assert set(INPUTS) >= {
        "parquet",
        "csv",
        "jsonl",
        "xml",
        "text",
        "images",
        "arrow",
        "sql",
        "http",
    }
    assert set(OUTPUTS) >= {"parquet", "csv", "jsonl", "sql", "redis", "duckdb"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"outputs": 1}, "$.outputs: unknown field, did you mean 'output'?"),
        (
            {"input": {"format": "parqet", "path": "a"}},
            "$.input.format: unknown, got text 'parqet'",
        ),
        ({"input": {"format": "parqet", "path": "a"}}, "did you mean 'parquet'? (known: parquet,"),
        (
            {"output": {"format": "zzz"}},
            "$.output.format: unknown, got text 'zzz'; expected one of",
        ),
        ({"input": {"path": "a"}}, "$.input.format: missing, expected one of: parquet, csv"),
        ({"input": "a.parquet"}, "$.input: expected a mapping, got text 'a.parquet'"),
        ({"input": {"format": "parquet"}}, "$.input.path: missing"),
        ({"input": {"format": "csv", "path": "a", "delimitre": ";"}}, "did you mean 'delimiter'?"),
        ({"batch_size": "many"}, "$.batch_size: expected a whole number >= 1 or 'auto', got text"),
        ({"memory": "lots"}, "$.memory: expected a size in bytes such as 256MiB"),
        (
            {"on_error": {"max_rate": 2}},
            "$.on_error.max_rate: expected a number from 0 to 1, got 2",
        ),
        ({"model": {"path": "a", "url": "grpc://h:1"}}, "$.model: expected either 'path'"),
        ({"model": {"url": "grpc://h:1"}}, "$.model.name: missing"),
        ({"columns": {"x": 1}}, "$.columns.x: expected text that is not empty or a list"),
        ({"output": {"format": "duckdb", "path": "a", "table": "t", "key": []}}, "$.output.key"),
    ],
)
def test_a_slip_says_where_and_what(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        small(**fields)
    assert raised.value.message.startswith("job.yaml: ")
    assert text in raised.value.message


@pytest.mark.parametrize("name", ["name", "input", "model", "output"])
def test_what_has_to_be_said(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^job.yaml: \$\.{name}: missing"):
        read_spec({key: value for key, value in SMALL.items() if key != name}, "job.yaml")


@pytest.mark.parametrize(
    ("content", "text"), [(b"- a", "expected a mapping"), (b"a: [", "not valid")]
)
def test_what_is_no_mapping(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=text):
        load_spec(tmp_path / "job.yaml")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^no\.yaml: cannot be read: no such file"):
        load_spec(Path("no.yaml"))


SAME: dict[str, Any] = {
    "name": "other",
    "model": {"path": "elsewhere"},
    "batch_size": 7,
    "memory": "3GiB",
    "on_error": {"max_rate": 0.5},
    "engine": "processes",
    "workers": 3,
    "schedule": "0 0 * * *",
    "state": "there",
    "ray": {"cpus": 2},
}
OTHER: dict[str, Any] = {
    "input": {"format": "parquet", "path": "in2"},
    "output": {"format": "csv", "path": "out"},
    "columns": {"a": "b"},
    "keep": ["a"],
    "rename": {"a": "b"},
    "binary": ["a"],
    "split_rows": 7,
}


def test_the_digest_is_of_what_is_written() -> None:
    plain = spec_digest(small(), "")
    assert {name: spec_digest(small(**{name: value}), "") for name, value in SAME.items()} == (
        dict.fromkeys(SAME, plain)
    )
    changed = [spec_digest(small(**{name: value}), "") for name, value in OTHER.items()]
    changed.append(spec_digest(small(), "of a transform"))
    assert len({plain, *changed}) == len(changed) + 1


def test_another_password_is_no_other_job() -> None:
    digests = {
        spec_digest(
            small(
                output={"format": "sql", "url": f"mysql://{who}@h/d", "table": "t", "key": ["i"]}
            ),
            "",
        )
        for who in ("a:b", "c:d")
    }
    assert len(digests) == 1


def test_every_field_is_on_one_side_of_the_digest() -> None:
    fields = {field.name for field in msgspec.structs.fields(BatchSpec)}
    assert fields == SAME.keys() | OTHER.keys() | {"transform"}
