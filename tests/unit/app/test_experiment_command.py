"""``penstock experiment``: what is asked of the server, what is printed, exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.app.cli.experiment_outcomes import read_outcomes
from tests.unit.app.shell import Shell, StubServer

COMPARISON = {
    "metric": "spent",
    "role": "goal",
    "variant": "b",
    "finding": "better",
    "message": "11 instead of 10",
}
ANSWER: dict[str, Any] = {
    "model": "m/1",
    "name": "first",
    "phase": "running",
    "kept": "",
    "sentence": "'b' is better than 'control': spent 11 instead of 10.",
    "notes": ["forgotten when the server ends"],
    "history": [{"at_ms": 0, "who": "ann", "to": "running", "why": "control 50 %, b 50 %"}],
    "result": {
        "level_each": 0.05,
        "notes": ["7 exposures were dropped"],
        "variants": [
            {
                "name": "b",
                "version": 2,
                "weight": 50.0,
                "units": 1200,
                "mixed_units": 3,
                "requests": None,
                "errors": None,
            }
        ],
        "comparisons": [COMPARISON, {**COMPARISON, "role": "guardrail", "finding": "kept"}],
    },
}
YAML = """
model: m/1
name: first
variants: [{name: control, version: 1}, {name: b, version: 2}]
goals: [{metric: spent, min_effect: 0.5}]
"""
TOLD = {"taken": 2, "duplicates": [], "unknown": [], "rejected": []}


@pytest.fixture(autouse=True)
def answers(stub: StubServer) -> None:
    stub.answers |= {
        "POST /v2/experiments": (200, ANSWER),
        "GET /v2/experiments/m%2F1": (200, ANSWER),
        "POST /v2/experiments/m%2F1/stop": (200, {**ANSWER, "phase": "ended", "kept": "b"}),
        "POST /v2/outcomes": (200, TOLD),
    }


def test_a_start_sends_the_file_and_prints_the_verdict_first(
    shell: Shell, stub: StubServer, tmp_path: Path
) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(YAML)
    ran = shell("experiment", "start", str(file), "--url", stub.url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == ANSWER["sentence"]
    sent = json.loads(stub.asked[0][3])
    assert (sent["model"], sent["variants"][1]["version"]) == ("m/1", 2)


def test_a_status_is_a_table_with_every_note(shell: Shell, stub: StubServer) -> None:
    lines = shell("experiment", "status", "m/1", "--url", stub.url).out.splitlines()
    assert any(line.split() == ["b", "2", "50", "%", "1,200", "3", "-", "-"] for line in lines)
    assert any(line.startswith("spent") and "better" in line for line in lines)
    assert any(line.startswith("spent") and "kept" in line for line in lines)
    assert lines[-2:] == ["note: 7 exposures were dropped", "note: forgotten when the server ends"]


def test_a_status_as_json_is_what_the_server_said(shell: Shell, stub: StubServer) -> None:
    ran = shell("experiment", "status", "m/1", "--json", "--url", stub.url)
    assert json.loads(ran.out) == ANSWER


def test_a_stop_says_what_is_kept_and_who_asks(
    shell: Shell, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    asked = ("experiment", "stop", "m/1", "--keep", "b", "--why", "done", "--url", stub.url)
    assert "ended, b is kept" in shell(*asked).out
    assert json.loads(stub.asked[0][3]) == {"keep": "b", "why": "done"}
    assert stub.asked[0][2]["x-penstock-actor"] == "ann"


def test_a_file_that_cannot_be_read_is_wrong_usage(shell: Shell, tmp_path: Path) -> None:
    ran = shell("experiment", "start", str(tmp_path / "none.yaml"))
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be read" in ran.err
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(YAML.replace("goals", "gaols"))
    ran = shell("experiment", "start", str(wrong))
    assert ran.code == 2
    assert "did you mean 'goals'" in ran.err


CSV = b"""prediction_id,metric,value,at_ms
1,bought,true,
2,spent,1.5,1700000000000

3,label,cat,
4,spent
"""


def test_a_csv_file_is_sent_as_json(shell: Shell, stub: StubServer, tmp_path: Path) -> None:
    rejected = [{"row": 3, "field": "value", "message": "expected a number"}]
    told = {"taken": 2, "duplicates": [1], "unknown": [2], "rejected": rejected}
    stub.answers["POST /v2/outcomes"] = (200, told)
    file = tmp_path / "outcomes.csv"
    file.write_bytes(CSV)
    ran = shell("experiment", "outcomes", str(file), "--url", stub.url)
    assert json.loads(stub.asked[0][3])["outcomes"] == [
        {"prediction_id": "1", "metric": "bought", "value": True},
        {"prediction_id": "2", "metric": "spent", "value": 1.5, "at_ms": 1_700_000_000_000},
        {"prediction_id": "3", "metric": "label", "value": "cat"},
        ["4", "spent"],
    ]
    assert ran.code == 1
    assert ran.err == "line 5: value: expected a number\n"  # line 4 is empty
    assert ran.out == (
        "2 outcomes taken; 1 of them kept aside: prediction not known (yet); "
        "1 told before, which count once; 1 refused\n"
    )


def test_json_lines_come_from_standard_input(shell: Shell, stub: StubServer) -> None:
    lines = b'{"prediction_id": "1", "metric": "m", "value": 1}\n\n{"broken\n'
    ran = shell("experiment", "outcomes", "-", "--json", "--url", stub.url, stdin=lines)
    assert (ran.code, json.loads(ran.out)) == (0, TOLD)
    assert json.loads(stub.asked[0][3])["outcomes"][1] == '{"broken'


def test_a_large_file_is_sent_in_parts(shell: Shell, stub: StubServer, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text("prediction_id,metric,value\n" + "".join(f"{i},m,1\n" for i in range(4500)))
    shell("experiment", "outcomes", str(file), "--url", stub.url)
    assert [len(json.loads(asked[3])["outcomes"]) for asked in stub.asked] == [2000, 2000, 500]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"id,value\n1,2\n", "expected the columns prediction_id, metric, value"),
        (b'prediction_id,metric,value\n"1,m,2\n', "not valid CSV"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_of_outcomes_is_refused(
    shell: Shell, stub: StubServer, tmp_path: Path, content: bytes, text: str
) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_bytes(content)
    ran = shell("experiment", "outcomes", str(file), "--url", stub.url)
    assert ran.code == 1
    assert text in ran.err


def test_numbers_of_lines_are_those_of_the_file() -> None:
    assert [line.number for line in read_outcomes(CSV, "x")] == [2, 3, 5, 6]
    assert [line.number for line in read_outcomes(b'\n{"a": 1}\n\n{}\n', "x")] == [2, 4]
