"""The example of an Airflow DAG, run by Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.runners.runner_models import ROOT

pytest.importorskip("airflow")

pytestmark = [pytest.mark.timeout(300)]

RUN = """
import json, sys
from examples.runners.airflow_dag import dag

task = dag.get_task("predict")
task.overrides = json.loads(sys.argv[1])
run = dag.test()
(instance,) = run.get_task_instances()
print("\\nTOLD", json.dumps([str(run.state), instance.try_number, instance.xcom_pull("predict")]))
"""


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow of its own, with a database in a file."""
    home = tmp_path_factory.mktemp("airflow")
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "examples/runners"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": str(ROOT),
    }
    environment = {**os.environ, **settings}
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    migrated = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert migrated.returncode == 0, migrated.stderr[-2000:]
    return environment


def run(environment: dict[str, str], **overrides: object) -> list[object]:
    command = [sys.executable, "-c", RUN, msgspec.json.encode(overrides).decode()]
    ran = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    told = [line for line in ran.stdout.splitlines() if line.startswith("TOLD")]
    assert told, ran.stdout[-3000:] + ran.stderr[-3000:]
    answer: list[object] = msgspec.json.decode(told[-1].removeprefix("TOLD"))
    return [*answer, ran.stdout + ran.stderr]


def test_the_dag_runs_the_job(airflow_home: dict[str, str], tmp_path: Path) -> None:
    output = {"format": "jsonl", "path": str(tmp_path / "out")}
    state, _, told, _ = run(airflow_home, output=output)
    assert state == "success"
    assert told == {"output": str(tmp_path / "out"), "rows": 5, "dead": 0}
    parts = b"".join(part.read_bytes() for part in (tmp_path / "out").glob("*.jsonl"))
    assert b"WHAT A GOAL!" in parts


def test_a_job_that_fails_is_not_tried_again(airflow_home: dict[str, str], tmp_path: Path) -> None:
    output = {"format": "jsonl", "path": str(tmp_path / "out")}
    state, tries, _, log = run(airflow_home, output=output, columns={"text": "txet"})
    assert (state, tries) == ("failed", 1)
    assert "txet" in str(log)
