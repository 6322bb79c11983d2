"""The example of a Dagster asset, materialized by Dagster."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.runners.runner_models import ROOT

dagster = pytest.importorskip("dagster")

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]


def materialize(monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> Any:
    monkeypatch.chdir(ROOT)
    example = importlib.import_module("examples.runners.dagster_asset")
    config = {"ops": {"predictions": {"config": {"overrides": overrides}}}}
    return dagster.materialize([example.predictions], run_config=config, raise_on_error=False)


def test_the_asset_is_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = {"format": "jsonl", "path": str(tmp_path / "out")}
    run = materialize(monkeypatch, output=output)
    assert run.success
    (event,) = run.asset_materializations_for_node("predictions")
    told = {name: value.value for name, value in event.metadata.items()}
    assert (told["dagster/row_count"], told["dead"]) == (5, 0)
    assert told["model"] == "shout version 1"
    lines = [
        msgspec.json.decode(line)
        for part in sorted((tmp_path / "out").glob("*.jsonl"))
        for line in part.read_bytes().splitlines()
    ]
    assert {line["id"]: line["output"] for line in lines}[3] == "WHAT A GOAL!"
    again = materialize(monkeypatch, output=output)
    assert again.success, "what is done stays done"


def test_a_job_that_fails_fails_the_asset_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = materialize(
        monkeypatch,
        output={"format": "jsonl", "path": str(tmp_path / "out")},
        columns={"text": "txet"},
    )
    assert not run.success
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    assert "txet" in failure.step_failure_data.error.to_string()
    assert not [event for event in run.all_events if event.is_step_up_for_retry]


def test_it_is_due_each_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    example = importlib.import_module("examples.runners.dagster_asset")
    assert example.defs.get_schedule_def("nightly").cron_schedule == "0 2 * * *"
