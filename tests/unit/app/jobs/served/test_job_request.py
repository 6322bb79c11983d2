"""From what a client asks for to a job."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.app.jobs.served.job_request import check_spec, read_request
from penstock.app.jobs.served.upload_request import fields_of, upload_name
from penstock.app.settings import JobsSettings
from penstock.core.errors import ConfigError, InvalidArgument, UnsupportedEncoding

JOB: dict[str, Any] = {
    "model": "m",
    "input": {"format": "csv", "path": "/a.csv"},
    "output": {"format": "jsonl", "path": "/out"},
}


def spec_of(**more: Any) -> dict[str, Any]:
    return {"name": "n", **JOB, **more, "model": {"path": ".", "name": "m"}}


def test_a_model_is_a_name_or_a_name_and_a_version() -> None:
    assert read_request(JOB, "").model == "m"
    told = {**JOB, "model": {"name": "m", "version": 3}}
    assert read_request(told, "").version == "3"
    told = {**JOB, "model": {"name": "m", "version": "stable"}}
    assert read_request(told, "").version == "stable"


@pytest.mark.parametrize(
    "model", [None, 3, "", {}, {"version": 1}, {"name": "m", "version": 1.5}, {"path": "/x"}]
)
def test_another_model_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"job: \$\.model"):
        read_request({**JOB, "model": model}, "")


def test_the_id_is_the_clients_or_one_of_ours() -> None:
    assert read_request({**JOB, "id": "a-1.b"}, "").id == "a-1.b"
    assert read_request(JOB, "key").id == "key"
    assert read_request({**JOB, "id": "key"}, "key").id == "key"
    assert read_request(JOB, "").id != read_request(JOB, "").id
    assert read_request(JOB, "key").fields["name"] == "key"
    with pytest.raises(InvalidArgument, match="not the same"):
        read_request({**JOB, "id": "a"}, "b")


@pytest.mark.parametrize("job_id", ["..", "a/b", "-a", "ä", "a" * 65, "a b", 3, ["a"], "a\n"])
def test_an_id_that_is_none_is_refused(job_id: Any) -> None:
    with pytest.raises(InvalidArgument, match="a job's id"):
        read_request({**JOB, "id": job_id}, "")


def test_the_same_request_has_the_same_digest_whatever_its_id() -> None:
    one = read_request({**JOB, "id": "a"}, "")
    assert read_request(JOB, "b").digest == one.digest
    assert read_request({**JOB, "keep": ["id"]}, "a").digest != one.digest


@pytest.mark.parametrize("name", ["transform", "engine", "ray", "schedule", "state"])
def test_what_is_for_those_who_have_a_shell_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\$\.{name}: is not offered over HTTP"):
        read_request({**JOB, name: {"python": "x.py:f"}}, "")


def test_an_unknown_field_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"\$\.keeps: unknown field.*keep"):
        read_request({**JOB, "keeps": {}}, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", {"format": "sql", "url": "sqlite:///x.db", "query": "q", "key": "id"}),
        ("output", {"format": "sql", "url": "sqlite:///x.db", "table": "t", "key": ["id"]}),
        ("output", {"format": "duckdb", "path": "/x.db", "table": "t", "key": ["id"]}),
    ],
)
def test_tables_are_refused(name: str, value: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"\$\.{name}"):
        check_spec(spec_of(**{name: value}), JobsSettings())


def test_what_a_job_asks_for_is_bounded() -> None:
    settings = JobsSettings(max_workers=2)
    check_spec(spec_of(workers=2, memory="1GiB"), settings)
    with pytest.raises(ConfigError, match=r"\$\.workers: expected at most 2.*jobs\.max_workers"):
        check_spec(spec_of(workers=3), settings)
    with pytest.raises(ConfigError, match=r"\$\.memory.*jobs\.max_memory_bytes"):
        check_spec(spec_of(memory="2GiB"), settings)


def test_a_query_becomes_fields() -> None:
    query = {
        "model": "m",
        "version": "2",
        "format": "csv",
        "output": "parquet",
        "id": "a",
        "keep": "id,body",
        "columns.text": "body",
        "columns.x": "a,b",
        "rename.label": "mood",
        "batch_size": "64",
        "on_error.max_rate": "0.5",
        "input.delimiter": ";",
        "input.header": "false",
        "input.column_names": "id,body",
    }
    assert fields_of(query) == {
        "model": {"name": "m", "version": "2"},
        "input": {
            "format": "csv",
            "delimiter": ";",
            "header": False,
            "column_names": ["id", "body"],
        },
        "output": {"format": "parquet"},
        "id": "a",
        "keep": ["id", "body"],
        "columns": {"text": "body", "x": ["a", "b"]},
        "rename": {"label": "mood"},
        "batch_size": 64,
        "on_error": {"max_rate": 0.5},
    }
    assert fields_of({"model": "m", "format": "csv"})["output"] == {"format": "jsonl"}
    assert fields_of({"model": "m", "format": "csv", "batch_size": "auto"})["batch_size"] == "auto"


@pytest.mark.parametrize(
    "name", ["input.path", "output.path", "state.x", "input.", "output.format"]
)
def test_an_upload_cannot_say_where_its_files_are(name: str) -> None:
    with pytest.raises(InvalidArgument, match="not known"):
        fields_of({"model": "m", "format": "csv", name: "/etc/passwd"})


@pytest.mark.parametrize("kind", ["", "xml", "sql", "csv2"])
def test_an_upload_says_its_format(kind: str) -> None:
    with pytest.raises(ConfigError, match="format: expected one of csv, jsonl, parquet"):
        fields_of({"model": "m", "format": kind})


def test_how_an_upload_is_packed_is_in_its_name() -> None:
    csv, parquet = ({"input": {"format": kind}} for kind in ("csv", "parquet"))
    assert upload_name(csv, "") == "input.csv"
    assert upload_name(csv, "gzip") == "input.csv.gz"
    assert upload_name(csv, "zstd") == "input.csv.zst"
    assert upload_name(parquet, "") == "input.parquet"
    for fields, encoding in ((csv, "br"), (parquet, "gzip")):
        with pytest.raises(UnsupportedEncoding, match="may be packed with"):
            upload_name(fields, encoding)
