"""Outputs in object stores: one in memory, one that speaks S3, and ones that fail."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.core.errors import ConfigError, JobOutputError
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.sinks import object_folder
from penstock.jobs.batch.sinks.file_sink import FileSink, open_file_sink
from penstock.jobs.batch.sinks.object_folder import ObjectFolder
from penstock.jobs.batch.spec_outputs import ParquetOutput

ROWS = pa.RecordBatch.from_pydict({"id": list(range(1000))})


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are collected."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are asked again at once, three times in all."""
    monkeypatch.setattr(object_folder, "_PATIENCE", Patience(attempts=3, first_wait_s=0))


@pytest.fixture
def place() -> Iterator[str]:
    """An empty folder of the store in memory."""
    url = f"memory://jobs-{uuid.uuid4().hex}"
    yield url
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)


def parquet(url: str) -> FileSink:
    return open_file_sink(ParquetOutput(path=url))


def write(sink: FileSink, split: str) -> Receipt:
    part = sink.open(split, ROWS.schema)
    part.write(ROWS)
    return part.commit()


def test_parts_appear_when_they_are_whole(place: str, spool: Path) -> None:
    files = fsspec.filesystem("memory")
    sink = parquet(place)
    sink.begin()
    part = sink.open("a", ROWS.schema)
    part.write(ROWS)
    assert not files.exists(f"{place}/part-a.parquet")
    receipt = part.commit()
    with files.open(f"{place}/part-a.parquet") as file:
        assert pq.read_table(file).to_batches() == [ROWS]
    assert sink.holds("a", receipt)
    assert not sink.holds("b", receipt)
    assert not sink.holds("a", Receipt(1000, receipt.num_bytes + 1))
    assert write(sink, "a") == receipt
    sink.finish(b"{}")
    assert files.cat(f"{place}/_SUCCESS") == b"{}"
    sink.begin()
    assert [Path(name).name for name in files.ls(place, detail=False)] == ["part-a.parquet"]
    assert not list(spool.rglob("*"))


def test_what_a_dead_writer_left_is_found(place: str, spool: Path) -> None:
    sink = parquet(place)
    part = sink.open("a", ROWS.schema)
    part.write(ROWS)
    (folder,) = spool.iterdir()
    assert (folder.stat().st_mode & 0o777, len(list(folder.iterdir()))) == (0o700, 1)
    parquet(place).begin()
    assert not list(spool.iterdir())
    part.abort()


@pytest.mark.parametrize(
    ("scheme", "fixture"),
    [
        ("s3", "bucket"),
        ("gs", "gcs_bucket"),
        pytest.param("az", "azure_bucket", marks=pytest.mark.slow),
    ],
)
def test_a_bucket(scheme: str, fixture: str, spool: Path, request: pytest.FixtureRequest) -> None:
    bucket = request.getfixturevalue(fixture)
    sink = parquet(f"{scheme}://{bucket.name}/deep/out/")
    sink.begin()
    receipt = write(sink, "a")
    sink.finish(b"{}")
    assert bucket.info(f"{bucket.name}/deep/out/part-a.parquet")["size"] == receipt.num_bytes
    assert sink.holds("a", receipt)
    assert not sink.holds("b", receipt)
    sink.begin()
    assert [name.rpartition("/")[2] for name in bucket.find(bucket.name)] == ["part-a.parquet"]
    assert list(sink.part_ids()) == ["a"]
    assert not list(spool.iterdir())


@pytest.mark.parametrize(
    ("scheme", "fixture"),
    [
        ("s3", "s3_environment"),
        ("gs", "gcs_environment"),
        pytest.param("az", "azure_environment", marks=pytest.mark.slow),
    ],
)
def test_a_bucket_that_is_not_there(
    scheme: str, fixture: str, spool: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(fixture)
    sink = parquet(f"{scheme}://no-such-bucket/out")
    sink.begin()
    part = sink.open("a", ROWS.schema)
    part.write(ROWS)
    with pytest.raises(
        JobOutputError, match=rf"{scheme}://no-such-bucket/out/part-a\.parquet: "
    ) as caught:
        part.commit()
    assert not caught.value.retryable
    part.abort()
    assert not [path for path in spool.rglob("*") if path.is_file()]


class FailingFiles:
    """A store that fails each call in one way, or a few of them before it answers.

    Attributes:
        calls: how often it was asked.
    """

    def __init__(self, error: Exception, times: int = 999, well: Any = None) -> None:
        self.error = error
        self.times = times
        self.well = well
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls > self.times:
                return getattr(self.well, name)(*args, **more)
            raise self.error

        return fail


class SecretError(Exception):
    """As clients raise: with a status, and an address in its text."""

    def __init__(self, status: int) -> None:
        super().__init__("https://store/?sig=SECRET")
        self.status_code = status


class NoCredentialsError(Exception):
    """As botocore raises, which finds none."""


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (SecretError(503), True),
        (SecretError(429), True),
        (SecretError(403), False),
        (PermissionError("SECRET"), False),
        (OSError("Forbidden: https://store/?sig=SECRET"), False),
        (NoCredentialsError("SECRET"), False),
        (TimeoutError("SECRET"), True),
        (ConnectionResetError("SECRET"), True),
        (RuntimeError("SECRET"), True),
    ],
)
def test_a_store_that_fails(
    error: Exception, retryable: bool, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = parquet(place)
    receipt = write(sink, "a")
    part = sink.open("b", ROWS.schema)
    folder = sink._folder
    assert isinstance(folder, ObjectFolder)
    files = FailingFiles(error)
    monkeypatch.setattr(folder, "_files", files)
    calls = (part.commit, sink.begin, lambda: sink.holds("a", receipt), lambda: sink.finish(b""))
    for call in calls:
        files.calls = 0
        with pytest.raises(JobOutputError, match=place) as caught:
            call()
        assert caught.value.retryable is retryable
        assert "SECRET" not in caught.value.message
        assert ("3 times" in caught.value.message) is retryable
        assert files.calls == (3 if retryable else 1)
    part.abort()


@pytest.mark.parametrize("error", [SecretError(503), TimeoutError(), ConnectionResetError()])
def test_an_upload_that_fails_for_a_moment(
    error: Exception, place: str, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = parquet(place)
    folder = sink._folder
    assert isinstance(folder, ObjectFolder)
    files = FailingFiles(error, 2, folder._files)
    monkeypatch.setattr(folder, "_files", files)
    receipt = write(sink, "a")
    assert files.calls == 3
    assert sink.holds("a", receipt)
    assert not [path for path in spool.rglob("*") if path.is_file()]


def test_a_folder_of_somebody_else_is_not_used(place: str, spool: Path) -> None:
    sink = parquet(place)
    sink.open("a", ROWS.schema).abort()
    (folder,) = spool.iterdir()
    folder.rmdir()
    elsewhere = spool / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(JobOutputError, match="belongs to somebody else"):
        sink.open("a", ROWS.schema)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/out", "output.path: ftp:// is no place .* expected a local folder, or s3://"),
        ("s3://user:word@bucket/out", "credentials do not belong in a URL"),
        ("s3:///out", "expected s3://bucket/path"),
    ],
)
def test_urls_that_are_no_place(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parquet(url)


def test_a_store_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError("No module named gcsfs")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[gcs\]'"):
        parquet("gs://bucket/out")
