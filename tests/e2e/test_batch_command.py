"""``penstock batch``: run, plan, status, retry-dead and schedule; and what slips are told."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.batch_job import MODEL, Job
from tests.interop.live import AT_ONCE, PENSTOCK, Live, clean_environ, eventually, run_cli

FILES = [[f"text {file} {row}" for row in range(10)] for file in range(4)]
LOUD = [(number, text.upper()) for number, text in enumerate(text for one in FILES for text in one)]


def batch(job: Job, *args: str, timeout_s: float = 60.0) -> Any:
    return run_cli("batch", *args, cwd=job.folder, timeout_s=timeout_s)


def start(job: Job, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PENSTOCK, "batch", *args],
        cwd=job.folder,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_job_runs_and_tells_of_it(tmp_path: Path) -> None:
    job = Job(tmp_path, FILES)
    before = batch(job, "status", "job.yaml")
    assert (before.returncode, "never run" in before.stdout) == (0, True)
    plan = batch(job, "plan", "job.yaml")
    assert plan.returncode == 0, plan.stderr
    assert "shout version 1, digest" in plan.stdout
    assert "text <- body" in plan.stdout
    assert "4: 4 to do, 0 done" in plan.stdout
    assert not job.is_whole
    ran = batch(job, "run", "job.yaml")
    assert ran.returncode == 0, ran.stderr
    assert job.rows() == LOUD
    assert job.is_whole
    assert "40 rows out, 0 dead letters" in ran.stdout
    assert (tmp_path / "out/_job/report.md").read_text().startswith("# Batch job shouts")
    assert "picture: out/_job/report.svg" in ran.stdout
    after = batch(job, "status", "job.yaml")
    assert "shouts: done" in after.stdout
    assert "4 of 4 done" in after.stdout


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    job = Job(tmp_path, FILES)
    ran = batch(job, "run", "job.yaml", "--json")
    assert json.loads(ran.stdout)["tally"]["rows_out"] == 40
    assert ran.stderr == ""
    assert json.loads(batch(job, "status", "job.yaml", "--json").stdout)["done"] == 4
    assert json.loads(batch(job, "plan", "job.yaml", "--json").stdout)["splits"] == 4


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("split_rows: 100", "split_row: 100", "job.yaml: $.split_row: unknown field, did you mean"),
        ("format: jsonl", "format: jsnl", "$.input.format: unknown, got text 'jsnl'; did you mean"),
        ("text: body", "txt: body", "columns.txt: the model has no input of this name, did you"),
        (
            "path: models",
            "path: modelz",
            "model.path: modelz: no such file or folder; did you mean 'models'?",
        ),
        ("keep: [id]", "keep: [idd]", "keep: the input has no one column 'idd'"),
        ("output: loud", "outputs: loud", "rename.outputs: neither an output nor a kept column"),
        ("name: shouts", "name: shouts\nschedule: daily", "expected a cron expression"),
    ],
)
def test_a_slip_in_the_file_is_told(tmp_path: Path, old: str, new: str, text: str) -> None:
    job = Job(tmp_path, FILES)
    job.edit(old, new)
    ran = batch(job, "run", "job.yaml")
    assert ran.returncode == 2, ran.stderr
    assert text in ran.stderr
    assert "Traceback" not in ran.stderr
    assert job.parts == {}
    job.edit(new, old)
    assert batch(job, "run", "job.yaml").returncode == 0


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["run", "jbo.yaml"], 2, "jbo.yaml: cannot be read: no such file or directory"),
        (["run", "job.yaml", "--engine", "loca"], 2, "$.engine: expected 'local' or"),
        (["run", "job.yaml", "--memory", "much"], 2, "$.memory: expected a size in bytes"),
        (["retry-dead", "job.yaml"], 1, "no job was run here; run it first"),
        (["schedule", "job.yaml"], 2, "job.yaml: $.schedule: missing"),
    ],
)
def test_a_slip_on_the_command_line_is_told(
    tmp_path: Path, args: list[str], code: int, text: str
) -> None:
    ran = batch(Job(tmp_path, FILES), *args)
    assert (ran.returncode, text in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_input_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    job = Job(tmp_path, FILES)
    job.edit("path: in", "path: ni")
    ran = batch(job, "run", "job.yaml")
    assert ran.returncode in (1, 2)
    assert "ni" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    job = Job(tmp_path, FILES)
    job.edit("text: body", "text: boyd")
    ran = batch(job, "run", "job.yaml")
    assert ran.returncode in (1, 2)
    assert "column 'boyd'" in ran.stderr
    assert not job.is_whole


def test_ctrl_c_stops_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    whole = Job(_folder(tmp_path, "whole"), FILES)
    assert batch(whole, "run", "job.yaml").returncode == 0
    job = Job(_folder(tmp_path, "stopped"), FILES, wait_s=0.5)
    running = start(job, "run", "job.yaml")
    eventually(lambda: len(job.parts) >= 1, timeout_s=40)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130, said
    assert "to go on: penstock batch run job.yaml" in said
    assert "Traceback" not in said
    assert not job.is_whole
    done = len(job.parts)
    assert 1 <= done < 4
    assert f"{done} of 4 done" in batch(job, "status", "job.yaml").stdout
    again = batch(job, "run", "job.yaml")
    assert again.returncode == 0, again.stderr
    assert f"{done} of 4 splits were done before" in again.stdout
    assert sorted(job.parts.values()) == sorted(whole.parts.values())


def test_a_second_runner_is_refused(tmp_path: Path) -> None:
    job = Job(tmp_path, FILES, wait_s=2)
    running = start(job, "run", "job.yaml")
    try:
        eventually(lambda: len(job.parts) >= 1, timeout_s=40)
        second = batch(job, "run", "job.yaml")
        assert second.returncode == 1
        assert f"process {running.pid}" in second.stderr
        status = batch(job, "status", "job.yaml")
        assert f"process {running.pid}" in status.stdout
    finally:
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130, said


def _other_model(job: Job) -> None:
    job.write_model(MODEL.replace("upper", "title"))


def _other_spec(job: Job) -> None:
    job.edit("output: loud", "output: very_loud")


@pytest.mark.parametrize("change", [_other_model, _other_spec])
def test_another_job_is_refused_in_the_same_output(
    tmp_path: Path, change: Callable[[Job], None]
) -> None:
    job = Job(tmp_path, FILES)
    assert batch(job, "run", "job.yaml").returncode == 0
    before = job.parts
    change(job)
    refused = batch(job, "run", "job.yaml")
    assert refused.returncode in (1, 2), refused.stdout
    assert "--fresh" in refused.stderr
    assert job.parts == before
    fresh = batch(job, "run", "job.yaml", "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    assert len(job.parts) == 4
    assert job.parts.keys().isdisjoint(before)


def test_dead_letters_are_tried_again(tmp_path: Path) -> None:
    job = Job(tmp_path, [[*FILES[0], "bad"], FILES[1], FILES[2]])
    ran = batch(job, "run", "job.yaml")
    assert ran.returncode == 0, ran.stderr
    assert "30 rows out, 1 dead letters" in ran.stdout
    (dead,) = (tmp_path / "out/_job/dead").glob("*.jsonl")
    letter = json.loads(dead.read_text())
    assert (letter["message"], "bad" in letter["raw"]) == ("nothing to shout", True)
    again = batch(job, "retry-dead", "job.yaml")
    assert again.returncode == 0, again.stderr
    assert "1 dead rows tried again, 1 still dead" in again.stdout
    assert "nothing was left" not in again.stdout
    assert "30 rows out, 1 dead letters" in again.stdout


def test_too_many_dead_letters_fail_the_job(tmp_path: Path) -> None:
    job = Job(tmp_path, [["bad"] * 20, ["good"] * 20])
    ran = batch(job, "run", "job.yaml")
    assert ran.returncode == 1
    assert "on_error.max_rate 0.2" in ran.stderr
    assert not job.is_whole


@pytest.mark.timeout(120)
def test_processes_do_the_same(tmp_path: Path) -> None:
    here, there = (Job(_folder(tmp_path, name), FILES) for name in ("here", "there"))
    assert batch(here, "run", "job.yaml").returncode == 0
    ran = batch(there, "run", "job.yaml", "--engine", "processes", "--workers", "2", timeout_s=100)
    assert ran.returncode == 0, ran.stderr
    assert sorted(there.parts.values()) == sorted(here.parts.values())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_of_a_job_stops_it(tmp_path: Path, number: int) -> None:
    job = Job(tmp_path, FILES, wait_s=0.5)
    args = ("run", "job.yaml", "--engine", "processes", "--workers", "2")
    running = start(job, *args)
    eventually(lambda: len(job.parts) >= 1, timeout_s=60)
    workers = psutil.Process(running.pid).children(recursive=True)
    for process in workers:
        process.send_signal(number)
    running.send_signal(number)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130, said
    assert "to go on: penstock batch run job.yaml" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert not job.is_whole
    again = batch(job, *args, timeout_s=100)
    assert again.returncode == 0, again.stderr
    assert sorted(job.rows()) == LOUD


@pytest.mark.timeout(120)
def test_the_model_of_a_server(tmp_path: Path) -> None:
    job = Job(tmp_path, [[*FILES[0], "bad"], *FILES[1:]])
    with Live([tmp_path / "models"], *AT_ONCE, folder=tmp_path) as server:
        job.edit("{path: models}", f"{{url: 'grpc://{server.grpc_address}', name: shout}}")
        ran = batch(job, "run", "job.yaml", "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    assert "40 rows out, 1 dead letters" in ran.stdout
    assert [loud for _, loud in job.rows()] == [loud for _, loud in LOUD]


def test_a_schedule_runs_what_is_new(tmp_path: Path) -> None:
    job = Job(tmp_path, FILES[:2])
    job.edit("name: shouts", 'name: shouts\nschedule: "* * * * * *"')
    running = start(job, "schedule", "job.yaml")
    try:
        eventually(lambda: job.is_whole and len(job.parts) == 2, timeout_s=40)
        (tmp_path / "in/new.jsonl").write_text('{"id": 99, "body": "new"}\n')
        eventually(lambda: job.is_whole and len(job.parts) == 3, timeout_s=40)
    finally:
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130, said
    assert (99, "NEW") in job.rows()
    assert "Traceback" not in said


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
