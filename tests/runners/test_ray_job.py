"""Law 12 on Ray: a whole batch job on a cluster of which a node is killed, and its driver, writes
the bytes that the local engine writes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.app.jobs.batch_job import BatchJob

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

SLOW = """
import os
import time
from pathlib import Path

import numpy as np

from penstock import InvalidInput, Model, Rows


class Slow(Model):
    def load(self, context):
        with (Path(__file__).parent / "loads").open("a") as loads:
            loads.write(f"{os.getpid()}\\n")

    def predict(self, x: Rows["FP32", 4]) -> Rows["FP32"]:
        time.sleep(0.02)
        bad = np.flatnonzero(x[:, 0] < 0)
        if bad.size:
            raise InvalidInput(int(bad[0]), "negative")
        return x.sum(axis=1)
"""
FILES, ROWS = 4, 2000


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    """The fields of a job of 40 splits, each of which takes about a quarter of a second."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    for number in range(FILES):
        x = random.uniform(0, 1, (ROWS, 4)).astype(np.float32)
        x[[17, 1234], 0] = -1
        flat = pa.FixedSizeListArray.from_arrays(x.reshape(-1), 4)
        table = pa.table({"id": np.arange(ROWS) + number * ROWS, "x": flat})
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet", row_group_size=200)
    return {
        "name": "slow",
        "input": {"format": "parquet", "path": str(tmp_path / "in/*.parquet")},
        "model": {"path": str(tmp_path / "slow.py")},
        "keep": ["id"],
        "output": {"format": "parquet", "path": "out"},
        "split_rows": 200,
        "batch_size": 16,
        "on_error": {"max_rate": 0.01},
    }


def on_ray(job: Mapping[str, Any], cluster: Any) -> dict[str, Any]:
    return {**job, "engine": "ray", "workers": 3, "ray": {"address": cluster.address}}


def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where relative paths are of this folder; the job's output there."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return folder / "out"


def written(output: Path) -> dict[str, bytes]:
    """Every part, the mark, and the dead letters."""
    files = [*output.glob("*"), *(output / "_job/dead").glob("*")]
    return {str(one.relative_to(output)): one.read_bytes() for one in files if one.is_file()}


def loads(folder: Path) -> list[int]:
    """How often each process but this one has loaded the model."""
    processes = Counter((folder / "loads").read_text().split())
    del processes[str(os.getpid())]
    return list(processes.values())


def started(remote: Path, parts: int) -> subprocess.Popen[bytes]:
    """A driver of the ``job.yaml`` here that has written so many parts."""
    command = [sys.executable, "-m", "penstock", "batch", "run", "job.yaml"]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until = time.monotonic() + 90
    while len(list(remote.glob("part-*"))) < parts:
        if driver.poll() is not None or time.monotonic() > until:
            driver.kill()
            pytest.fail(driver.communicate()[0].decode())
        time.sleep(0.1)
    return driver


def test_a_node_killed_in_mid_job_changes_no_byte(
    job: dict[str, Any], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = in_folder(tmp_path / "local", monkeypatch)
    here = BatchJob(**job).run()
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    killed = threading.Event()

    def kill_a_node(progress: Any) -> None:
        if progress.splits_done >= 8 and not killed.is_set():
            killed.set()
            cluster.remove_node(nodes[1], allow_graceful=False)

    remote = in_folder(tmp_path / "ray", monkeypatch)
    there = BatchJob(**on_ray(job, cluster)).run(on_progress=kill_a_node)
    assert killed.is_set()
    assert loads(tmp_path) == [1, 1, 1], "each actor has one copy, which it loads once"
    assert written(remote) == written(local)
    assert len(written(local)) == FILES * 10 + 1 + FILES * 2
    counts = (here.tally.rows_in, here.tally.rows_out, here.tally.rows_dead)
    assert counts == (8000, 7992, 8)
    assert (there.tally.rows_in, there.tally.rows_out, there.tally.rows_dead) == counts


def test_a_driver_outside_the_cluster_writes_the_same_bytes(
    job: dict[str, Any],
    cluster: Any,
    client_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = in_folder(tmp_path / "local", monkeypatch)
    BatchJob(**job).run()
    cluster.add_node(num_cpus=2)
    remote = in_folder(tmp_path / "ray", monkeypatch)
    address = f"ray://127.0.0.1:{client_port}"
    report = BatchJob(**on_ray(job, cluster) | {"ray": {"address": address}}).run()
    assert (report.engine, report.tally.rows_in) == ("ray", 8000)
    assert written(remote) == written(local)
    assert len(loads(tmp_path)) == 2


def test_a_driver_that_is_killed_is_gone_on_from(
    job: dict[str, Any], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = in_folder(tmp_path / "local", monkeypatch)
    BatchJob(**job).run()
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    remote = in_folder(tmp_path / "ray", monkeypatch)
    Path("job.yaml").write_bytes(msgspec.yaml.encode(on_ray(job, cluster)))
    driver = started(remote, parts=5)
    driver.kill()
    driver.communicate()
    assert not (remote / "_SUCCESS").exists()
    report = BatchJob(**on_ray(job, cluster)).run()
    assert report.done_before >= 4
    assert written(remote) == written(local)


def test_sigterm_stops_the_job_in_words(
    job: dict[str, Any], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_node(num_cpus=2)
    remote = in_folder(tmp_path / "ray", monkeypatch)
    Path("job.yaml").write_bytes(msgspec.yaml.encode(on_ray(job, cluster)))
    driver = started(remote, parts=3)
    driver.terminate()
    said = driver.communicate(timeout=60)[0].decode()
    assert driver.returncode == 130, said
    assert "to go on: penstock batch run job.yaml" in said
