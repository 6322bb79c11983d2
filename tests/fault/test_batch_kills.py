"""Law 12: a batch job killed at any instant and resumed writes the bytes of one that was not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.fault.batch_kills import files_of

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("file_format", "mode", "workers"),
    [
        ("parquet", "run", 1),
        ("csv", "retry", 1),
        pytest.param("jsonl", "run", 2, marks=pytest.mark.slow),
        pytest.param("parquet", "retry", 2, marks=pytest.mark.slow),
    ],
)
def test_killed_at_every_step_and_run_again_it_writes_the_same_bytes(
    file_format: str, mode: str, workers: int
) -> None:
    with fast_folder() as folder:
        args = [sys.executable, "-m", "tests.fault.batch_kills", folder, file_format, mode]
        done = subprocess.run(
            [*args, str(workers)], cwd=ROOT, capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == [], done.stdout
    assert told["steps"] > 130, told
    assert told["files"] >= 9, told


def fast_folder() -> tempfile.TemporaryDirectory[str]:
    """Memory, where there is any: what a killed process has written lasts there, too."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


@pytest.mark.parametrize("engine", ["local", pytest.param("processes", marks=pytest.mark.slow)])
def test_killed_again_and_again_at_random_it_comes_to_the_same_end(
    tmp_path: Path, engine: str
) -> None:
    chance = random.Random(7)
    whole, victim = tmp_path / "whole", tmp_path / "victim"
    assert start(whole, engine).wait() == 0
    expected = files_of(whole)
    kills = 0
    while True:
        process = start(victim, engine)
        if not wait_for_lines(process, victim, chance.randint(1, 8)):
            break
        time.sleep(chance.uniform(0.0, 0.05))
        children = psutil.Process(process.pid).children()
        target = chance.choice([psutil.Process(process.pid), *children])
        with suppress(psutil.NoSuchProcess):
            target.kill()
            kills += 1
        if target.pid != process.pid and not wait_for_lines(process, victim, 2):
            break
        process.kill()
        process.wait()

    assert process.wait() == 0
    assert kills >= 3
    assert files_of(victim) == expected


def wait_for_lines(process: subprocess.Popen[bytes], folder: Path, more: int) -> bool:
    """Whether so many splits more were done before it ended."""
    journal = folder / "state" / "journal.jsonl"

    def lines() -> int:
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    enough = lines() + more
    while lines() < enough:
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def start(folder: Path, engine: str) -> subprocess.Popen[bytes]:
    args = [sys.executable, "-m", "tests.fault.batch_child", str(folder), engine]
    return subprocess.Popen(args, cwd=ROOT)


def test_workers_end_with_their_runner(tmp_path: Path) -> None:
    process = start(tmp_path, "processes")
    deadline = time.monotonic() + 60
    while len(workers := psutil.Process(process.pid).children()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    process.kill()
    process.wait()

    _, alive = psutil.wait_procs(workers, timeout=30)

    assert alive == []
