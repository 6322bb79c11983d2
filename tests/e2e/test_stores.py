"""A batch job from an object store to the same one, with its model there: killed, and run again."""

from __future__ import annotations

import io
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.batch_job import MODEL
from tests.interop.live import PENSTOCK, clean_environ

JOB = """
name: shouts
input: {{format: parquet, path: "{url}/in/*.parquet"}}
model: {{path: "{url}/models", name: shout}}
columns: {{text: body}}
keep: [id]
rename: {{output: loud}}
output: {{format: parquet, path: "{url}/out"}}
state: {state}
split_rows: 25
batch_size: 5
"""
SPLITS = 12


class Store(NamedTuple):
    """A bucket, as a test sees it.

    Attributes:
        url: its address.
        files: its file system.
        environment: what points clients at it.
    """

    url: str
    files: Any
    environment: dict[str, str]

    def names(self) -> list[str]:
        """The files of the output, also while a job writes there."""
        return [path.rpartition("/")[2] for path in self.files.find(f"{self.files.name}/out")]

    def parts(self) -> dict[str, bytes]:
        """The files of the output: name to bytes."""
        folder = f"{self.files.name}/out"
        return {name: self.files.cat_file(f"{folder}/{name}") for name in self.names()}

    def run(self, job: Path) -> subprocess.Popen[str]:
        """Begin a run of the job."""
        return subprocess.Popen(
            [PENSTOCK, "batch", "run", job.name],
            cwd=job.parent,
            env=clean_environ() | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(params=["s3", "gs", pytest.param("az", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> Store:
    """A bucket with a model and an input."""
    names = {"s3": ("bucket", "s3"), "gs": ("gcs_bucket", "gcs"), "az": ("azure_bucket", "azure")}
    fixture, environment = names[request.param]
    files = request.getfixturevalue(fixture)
    url = f"{request.param}://{files.name}"
    files.pipe_file(f"{files.name}/models/shout/1/model.py", MODEL.encode())
    files.pipe_file(f"{files.name}/models/shout/model.yaml", b"runtime_options: {wait_s: 0.03}\n")
    for at in range(SPLITS // 2):
        table = pa.table({"id": range(at * 50, at * 50 + 50), "body": ["abc"] * 50})
        written = io.BytesIO()
        pq.write_table(table, written, row_group_size=25)
        files.pipe_file(f"{files.name}/in/{at}.parquet", written.getvalue())
    return Store(url, files, request.getfixturevalue(f"{environment}_environment"))


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for its end, and that it went well; what it said."""
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 0, told
    return told


@pytest.mark.timeout(180)
def test_a_job_that_was_killed_comes_to_the_same_end(store: Store, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(url=store.url, state="whole"))
    finish(store.run(job))
    whole = store.parts()
    assert len(whole) == SPLITS + 1
    assert "_SUCCESS" in whole
    store.files.rm(f"{store.files.name}/out", recursive=True)

    job.write_text(JOB.format(url=store.url, state="killed"))
    victim = store.run(job)
    while not any(name.startswith("part-") for name in store.names()):
        assert victim.poll() is None
        time.sleep(0.05)
    victim.kill()
    victim.communicate()
    left = store.names()
    assert any(name.isdigit() for name in left)  # its hold
    assert len(left) < len(whole)
    told = finish(store.run(job))
    assert f"of {SPLITS} splits were done before" in told
    assert store.parts() == whole
