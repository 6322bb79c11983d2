"""Models that end the process they are in, under a batch job of ``engine: processes``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.batch_job import Job
from tests.interop.live import run_cli

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

FILES = [["a", "b"], ["c", "sick"], ["d", "e"]]
MODEL = """
import multiprocessing, os, pathlib, signal

import penstock

class Shout(penstock.Model):
    def load(self, context):
        name = multiprocessing.current_process().name
        if pathlib.Path("in-" + name).exists():
            {end}
    def predict(self, text: list[str]) -> list[str]:
        if "sick" in text and pathlib.Path("deadly").exists():
            if pathlib.Path("deadly").read_text() == "once":
                pathlib.Path("deadly").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return [one.upper() for one in text]
"""
RAISES = """
import penstock

class Shout(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        if "sick" in text:
            raise ValueError("not this one")
        return [one.upper() for one in text]
"""
EXITS = "os._exit(3)"
CRASHES = "os.kill(os.getpid(), signal.SIGSEGV)"
LOUD = [(0, "A"), (1, "B"), (2, "C"), (3, "SICK"), (4, "D"), (5, "E")]


def job_of(folder: Path, end: str = EXITS) -> Job:
    job = Job(folder, FILES)
    job.write_model(MODEL.format(end=end))
    return job


def batch(job: Job, command: str = "run") -> Any:
    args = ("--engine", "processes") if command == "run" else ()
    return run_cli("batch", command, "job.yaml", *args, cwd=job.folder, timeout_s=100)


@pytest.mark.parametrize(
    ("end", "told"), [(EXITS, "exited with status 3"), (CRASHES, "was killed by SIGSEGV")]
)
def test_a_model_that_ends_its_process_while_it_loads(tmp_path: Path, end: str, told: str) -> None:
    job = job_of(tmp_path, end)
    mark = tmp_path / "in-penstock-job-load"
    mark.touch()

    ran = batch(job)

    assert ran.returncode == 1, ran.stderr
    assert f"'shout' version 1: the process that loaded the model {told}; mend" in ran.stderr
    assert not (tmp_path / "out").exists()
    mark.unlink()
    again = batch(job)
    assert (again.returncode, job.rows()) == (0, LOUD), again.stderr


def test_a_plan_survives_such_a_model(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    job.edit("split_rows: 100", "split_rows: 100\nengine: processes")
    (tmp_path / "in-penstock-job-load").touch()

    told = batch(job, "plan")

    assert told.returncode == 1
    assert "the process that loaded the model exited with status 3" in told.stderr


def test_a_model_that_ends_the_workers_leaves_what_is_done(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    (tmp_path / "deadly").write_text("each time")
    assert batch(job).returncode == 1  # the first split is done, the second one is not
    (tmp_path / "deadly").unlink()
    before, journal = job.parts, (tmp_path / "out/_job/journal.jsonl").read_bytes()
    assert len(before) == 1
    (tmp_path / "in-penstock-job-worker").touch()

    ran = batch(job)

    assert ran.returncode == 1, ran.stderr
    assert "3 workers in a row died before they had loaded the model; the last:" in ran.stderr
    assert "a worker process exited with status 3; what is done stays done" in ran.stderr
    assert job.parts == before
    assert (tmp_path / "out/_job/journal.jsonl").read_bytes().startswith(journal)
    (tmp_path / "in-penstock-job-worker").unlink()
    again = batch(job)
    assert (again.returncode, job.rows()) == (0, LOUD), again.stderr
    assert "1 of 3 splits were done before" in again.stdout


def test_a_model_that_kills_itself_once_while_it_predicts(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    (tmp_path / "deadly").write_text("once")

    ran = batch(job)

    assert (ran.returncode, job.rows()) == (0, LOUD), ran.stderr
    assert not (tmp_path / "out/_job/dead").exists()


def test_a_model_that_kills_itself_each_time_is_given_up_after_four_workers(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    (tmp_path / "deadly").write_text("each time")

    ran = batch(job)

    assert ran.returncode == 1
    told = "4 workers died while they did it, and more than 3 may not; the last: a worker process"
    assert f"in/1.jsonl[0:49]: {told} was killed by SIGKILL" in ran.stderr
    assert not job.is_whole


def test_what_a_model_raises_is_logged_once_though_halving_meets_it_again(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    job.write_model(RAISES)

    ran = batch(job)

    assert ran.returncode == 0, ran.stderr
    assert "5 rows out, 1 dead letters" in ran.stdout
    assert ran.stderr.count("Traceback") == 1
    assert 'models/shout/1/model.py", line 7, in predict' in ran.stderr
    (dead,) = (tmp_path / "out/_job/dead").iterdir()
    assert json.loads(dead.read_text())["place"] == "model.py:7"
