"""Writers that are killed, disks that fill: nothing of a part is seen before it is whole."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock.core.errors import JobOutputError
from penstock.jobs.batch.sinks import local_folder
from penstock.jobs.batch.sinks.file_sink import FilePart, FileSink, open_file_sink
from penstock.jobs.batch.spec_outputs import CsvOutput, JsonLinesOutput, ParquetOutput

pytestmark = pytest.mark.fault

SPECS = [ParquetOutput, CsvOutput, JsonLinesOutput]
SCHEMA = pa.schema([("noise", pa.string())])
DISK_BYTES = 256 * 1024


def noise(rows: int) -> pa.RecordBatch:
    """Rows of 1 KiB each, which no compression makes small."""
    return pa.RecordBatch.from_pydict({"noise": [os.urandom(512).hex() for _ in range(rows)]})


def fill(part: FilePart) -> None:
    """Write until it fails."""
    for _ in range(20):
        part.write(noise(64))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("spec", SPECS)
def test_a_full_disk(spec: Any, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.jobs.batch.sinks.file_sink.GROUP_ROWS", 64)
    monkeypatch.setattr(local_folder, "_BUFFER_BYTES", 4096)
    sink = open_file_sink(spec(path=str(small_disk / "out")))
    sink.begin()
    part = sink.open("a", SCHEMA)
    with pytest.raises(JobOutputError, match=r"part-a\.\w+: cannot be written: No space") as caught:
        fill(part)
    assert caught.value.retryable
    part.abort()
    assert names(small_disk / "out") == ["_tmp"]
    assert not names(small_disk / "out" / "_tmp")
    small = sink.open("a", SCHEMA)  # there is room again
    small.write(noise(10))
    receipt = small.commit()
    assert sink.holds("a", receipt)


@pytest.mark.parametrize("spec", SPECS)
def test_a_disk_that_is_full_at_the_end(spec: Any, small_disk: Path) -> None:
    sink = open_file_sink(spec(path=str(small_disk / "out")))
    part = sink.open("a", SCHEMA)
    part.write(noise(600))  # all of it is in memory still
    with pytest.raises(JobOutputError, match="No space left"):
        part.commit()
    part.abort()
    assert not names(small_disk / "out" / "_tmp")
    with pytest.raises(JobOutputError, match="_SUCCESS: cannot be written: No space"):
        sink.finish(os.urandom(2 * DISK_BYTES))
    assert names(small_disk / "out") == ["_tmp"]


@pytest.mark.parametrize("step", ["fsync", "replace", "sync_folder"])
def test_a_disk_that_fails_at_the_last_step(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    sink = open_file_sink(ParquetOutput(path=str(tmp_path)))
    part = sink.open("a", SCHEMA)
    part.write(noise(10))
    target: Any = {"fsync": os, "replace": Path, "sync_folder": local_folder}[step]
    with monkeypatch.context() as patched:
        patched.setattr(target, step, fail)
        with pytest.raises(
            JobOutputError, match=r"part-a\.parquet: cannot be written: the disk is"
        ):
            part.commit()
    part.abort()
    assert names(tmp_path) == ["_tmp"]
    assert not names(tmp_path / "_tmp")


WRITER = """
import os, signal, sys
import pyarrow as pa
from penstock.jobs.batch.sinks import local_folder
from penstock.jobs.batch.sinks.file_sink import open_file_sink
from penstock.jobs.batch.spec_outputs import ParquetOutput

folder, step = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

sink = open_file_sink(ParquetOutput(path=folder))
part = sink.open("a", pa.schema([("x", pa.int64())]))
part.write(pa.RecordBatch.from_pydict({"x": list(range(1000))}))
if step == "write":
    die()
if step == "fsync":
    os.fsync = die
if step == "rename":
    local_folder.Path.replace = die
if step == "sync_folder":
    local_folder.sync_folder = die
part.commit()
die()
"""


def open_part(folder: Path) -> FileSink:
    return open_file_sink(ParquetOutput(path=str(folder)))


@pytest.mark.parametrize(
    ("step", "is_there"),
    [
        ("write", False),
        ("fsync", False),
        ("rename", False),
        ("sync_folder", True),
        ("after", True),
    ],
)
def test_a_writer_that_is_killed(step: str, is_there: bool, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    command = [sys.executable, "-c", WRITER]
    done = subprocess.run([*command, str(whole), "after"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(whole) == ["_tmp", "part-a.parquet"]
    done = subprocess.run([*command, str(out), step], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (out / "part-a.parquet").exists() is is_there
    assert len(names(out / "_tmp")) == (0 if is_there else 1)
    if is_there:
        same = (whole / "part-a.parquet").read_bytes()
        assert (out / "part-a.parquet").read_bytes() == same
    open_part(out).begin()
    assert names(out) == (["part-a.parquet"] if is_there else [])


def test_a_writer_that_was_thought_dead_takes_nothing_away(tmp_path: Path) -> None:
    sink = open_part(tmp_path)
    late, quick = sink.open("a", SCHEMA), sink.open("a", SCHEMA)
    rows = noise(10)
    late.write(rows)
    quick.write(rows)
    receipt = quick.commit()
    sink.finish(b"{}")
    with pytest.raises(JobOutputError):
        late.commit()
    late.abort()
    assert sink.holds("a", receipt)
    assert names(tmp_path) == ["_SUCCESS", "part-a.parquet"]
