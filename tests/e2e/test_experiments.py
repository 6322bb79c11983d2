"""Experiments on a live server: users keep their variant, outcomes decide, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fault.fleet import Fleet
from tests.interop.live import AT_ONCE, PENSTOCK, Live, Reply, Rest, eventually, text_input
from tests.interop.models import save_python
from tests.stores.postgres_server import PostgresServer

MODEL = '''
import os

from penstock import Model


class Which(Model):
    """Answers its version and its process."""

    def predict(self, text: list[str]) -> list[str]:
        return [f"{VERSION} {os.getpid()}"] * len(text)
'''
SPEC: dict[str, Any] = {
    "model": "which",
    "name": "better",
    "variants": [{"name": "control", "version": 1}, {"name": "b", "version": 2}],
    "key": {"header": "x-user"},
    "goals": [{"metric": "bought", "kind": "rate", "min_effect": 0.05}],
    "guardrails": [{"metric": "error_rate", "max_loss": 0.1}],
}
FLUSHED_S = 1.0
"""What a killed process loses is younger than this: half a second, and the time of a write."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for version in (1, 2):
        text = MODEL.replace("{VERSION}", str(version))
        save_python(folder / "which" / str(version) / "model.py", text)
    return folder


@pytest.fixture
def server(models: Path, tmp_path: Path) -> Iterator[Live]:
    with Live([models], *AT_ONCE, folder=tmp_path) as live:
        yield live


def start(server: Live, **fields: Any) -> Any:
    """Start an experiment, and wait until it runs."""
    reply = server.ask("POST", "/v2/experiments", {**SPEC, **fields})
    assert reply.status == 200, reply.body
    return eventually(lambda: running(server))


def running(server: Live) -> Any:
    told = status(server)
    return told if told["phase"] == "running" else None


def status(server: Live) -> Any:
    reply = server.ask("GET", "/v2/experiments/which")
    assert reply.status == 200, reply.body
    return reply.json()


def ask(rest: Rest, user: str) -> Reply:
    body = {"inputs": [text_input("x")]}
    reply = rest.ask("POST", "/v2/models/which/infer", body, {"x-user": user})
    assert reply.status == 200, reply.body
    return reply


def said(reply: Reply) -> tuple[Mapping[str, str], str]:
    """The answer's parameters, and the version that gave it."""
    value = reply.json()
    return value["parameters"], value["outputs"][0]["data"][0].split()[0]


def tell(server: Live, *outcomes: tuple[str, Any]) -> Any:
    rows = [{"prediction_id": id_, "metric": "bought", "value": value} for id_, value in outcomes]
    reply = server.ask("POST", "/v2/outcomes", {"outcomes": rows})
    assert reply.status == 200, reply.body
    return reply.json()


def units(told: Any) -> int:
    return sum(one["units"] for one in told["result"]["variants"])


def test_an_experiment_from_start_to_the_winner(server: Live) -> None:
    start(server)
    met: dict[str, str] = {}
    outcomes = []
    with server.rest() as rest:
        for turn in range(2):
            for number in range(120):
                parameters, version = said(ask(rest, f"user{number}"))
                variant = parameters["variant"]
                assert met.setdefault(f"user{number}", variant) == variant  # law 6
                assert version == {"control": "1", "b": "2"}[variant]
                if turn == 0:
                    outcomes.append((parameters["prediction_id"], variant == "b"))
    assert min(Counter(met.values()).values()) > 30
    assert tell(server, *outcomes)["taken"] == 120
    told = status(server)
    assert units(told) == 120
    assert told["sentence"].startswith("'b' is better than 'control': bought 100 % instead of 0 %")
    reply = server.ask("POST", "/v2/experiments/which/stop", {"keep": "b", "why": "it won"})
    assert reply.json()["phase"] == "ended"
    with server.rest() as rest:
        assert {said_version(rest, user) for user in met} == {"2"}
    assert status(server)["result"]["finding"] == "better"


def test_late_twice_unknown_and_wrong_outcomes(server: Live) -> None:
    start(server)
    with server.rest() as rest:
        id_ = said(ask(rest, "ann"))[0]["prediction_id"]
    server.ask("POST", "/v2/experiments/which/stop", {})
    told = tell(server, (id_, True), (id_, False), ("nobody", True), (id_, "yes"))
    assert (told["taken"], told["duplicates"], told["unknown"]) == (2, [2], [3])
    (wrong,) = told["rejected"]
    assert (wrong["row"], wrong["field"]) == (4, "value")
    (goal,) = (one for one in status(server)["result"]["comparisons"] if one["role"] == "goal")
    assert goal["samples"] + goal["control_samples"] == 1
    assert any("kept aside" in note for note in status(server)["result"]["notes"])


def test_who_answered_before_answers_after_a_stop(server: Live) -> None:
    """Without a route before, that is the newest version; and none but this was asked for."""
    start(server)
    assert server.ask("POST", "/v2/experiments", SPEC).status == 409
    stopped = server.ask("POST", "/v2/experiments/which/stop", {"why": "enough"})
    assert stopped.json()["history"][-1]["why"] == "enough"
    with server.rest() as rest:
        assert {said_version(rest, str(number)) for number in range(20)} == {"2"}
    assert server.ask("POST", "/v2/experiments/which/stop", {}).status == 409


def said_version(rest: Rest, user: str) -> str:
    text: str = ask(rest, user).json()["outputs"][0]["data"][0]
    return text.split()[0]


def test_shares_follow_the_outcomes(server: Live) -> None:
    follow = {"interval_s": 1, "floor_ratio": 0.1}
    start(server, mode="thompson", thompson=follow)
    with server.rest() as rest:
        met = [said(ask(rest, f"user{number}"))[0] for number in range(120)]
    tell(server, *((one["prediction_id"], one["variant"] == "b") for one in met))
    told = eventually(lambda: weighed(server))
    assert {one["name"]: one["weight"] for one in told["result"]["variants"]} == {
        "control": 10,
        "b": 90,
    }
    assert told["result"]["comparisons"][0]["finding"] == "no verdict"
    with server.rest() as rest:  # law 6: raising the share moves nobody away
        after = [said(ask(rest, f"user{number}"))[0]["variant"] for number in range(120)]
    assert all(now == "b" for was, now in zip(met, after, strict=True) if was["variant"] == "b")
    assert after.count("b") > 90


def weighed(server: Live) -> Any:
    told = status(server)
    return told if told["result"]["variants"][1]["weight"] > 50 else None


def test_requests_without_a_key_are_answered_and_left_out(server: Live) -> None:
    start(server)
    for _ in range(5):
        assert server.infer("which", text_input("x")).status == 200
    told = eventually(lambda: noted(server, "5 requests had no routing key"))
    assert units(told) == 0


def noted(server: Live, text: str) -> Any:
    told = status(server)
    return told if any(text in note for note in told["result"]["notes"]) else None


def test_the_command_line(server: Live, tmp_path: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [PENSTOCK, "experiment", *args, "--url", server.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps(SPEC))
    assert run("start", str(file)).returncode == 0
    eventually(lambda: running(server))
    with server.rest() as rest:
        ids = [said(ask(rest, f"user{n}"))[0]["prediction_id"] for n in range(4)]
    rows = "".join(f"{id_},bought,true\n" for id_ in ids)
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text(f"prediction_id,metric,value\n{rows}{ids[0]},bought,maybe\n")
    told = run("outcomes", str(outcomes))
    assert (told.returncode, told.stdout) == (1, "4 outcomes taken; 1 refused\n")
    assert "line 6: value" in told.stderr
    shown = run("status", "which")
    assert shown.stdout.startswith("Not enough data yet")
    assert run("stop", "which", "--keep", "b").returncode == 0
    again = run("stop", "which")
    assert (again.returncode, again.stdout) == (1, "")
    assert "has ended already" in again.stderr


def test_an_experiment_outlives_the_server(models: Path, tmp_path: Path) -> None:
    kept = ("--set", f"control_store=sqlite:///{tmp_path}/control.db", *AT_ONCE)
    with Live([models], *kept, folder=tmp_path) as server:
        start(server)
        with server.rest() as rest:
            met = {user: said(ask(rest, user))[0] for user in ("ann", "bob", "eve")}
    with Live([models], *kept, folder=tmp_path) as server:
        assert units(status(server)) == 3
        assert tell(server, *((one["prediction_id"], True) for one in met.values()))["taken"] == 3
        with server.rest() as rest:
            for user, before in met.items():
                assert said(ask(rest, user))[0]["variant"] == before["variant"]
        assert units(status(server)) == 3


def test_a_rollout_with_a_gate_on_outcomes_hears_of_them(server: Live) -> None:
    route = {"variants": [{"name": "stable", "version": 1, "weight": 100}]}
    assert server.ask("PUT", "/v2/routes/which", route).status == 200
    eventually(lambda: server.ask("GET", "/v2/models/which/versions/1/ready").status == 200)
    stage = {"min_samples": 1, "min_time_s": 0, "timeout_s": 600}
    plan = {
        "model": "which",
        "candidate": 2,
        "key": {"header": "x-user"},
        "steps": [{**stage, "weight": 50}],
        "bake": stage,
        "gates": [{"metric": "outcome", "name": "bought", "max_loss": 0.9}],
        "interval_s": 0.1,
    }
    assert server.ask("POST", "/v2/rollouts", plan).status == 200
    eventually(lambda: rollout(server)["phase"] == "canary")
    with server.rest() as rest:
        met = [said(ask(rest, f"user{number}"))[0] for number in range(240)]
        tell(server, *((one["prediction_id"], n % 2) for n, one in enumerate(met)))
        eventually(lambda: rollout(server)["phase"] != "canary")
    (step,) = (one for one in rollout(server)["history"] if one["to"] == "bake")
    (gate,) = step["gates"]
    assert gate["verdict"] == "pass"
    assert gate["samples"] == sum(one["variant"] == "canary" for one in met)


def rollout(server: Live) -> Any:
    reply = server.ask("GET", "/v2/rollouts/which")
    assert reply.status == 200, reply.body
    return reply.json()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


def test_machines_that_share_postgresql_share_an_experiment(
    models: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    kept = ("--set", f"control_store={postgres.url}", *AT_ONCE)
    with (
        Live([models], *kept, folder=tmp_path) as one,
        Live([models], *kept, folder=tmp_path) as other,
    ):
        start(one)
        eventually(lambda: running(other))
        users = [f"user{number}" for number in range(60)]
        with one.rest() as rest, other.rest() as another:
            met = [said(ask(rest, user))[0] for user in users]
            again = [said(ask(another, user))[0] for user in users]
        assert [told["variant"] for told in met] == [told["variant"] for told in again]
        outcomes = [(told["prediction_id"], told["variant"] == "b") for told in [*met, *again]]
        assert tell(one, *outcomes)["taken"] == 120
        assert eventually(lambda: all_known(other))["finding"] == "better"


def all_known(server: Live) -> Any:
    result = status(server)["result"]
    return None if any("kept aside" in note for note in result["notes"]) else result


@pytest.mark.fault
def test_while_the_log_is_locked_requests_are_answered_and_nothing_is_lost(
    models: Path, tmp_path: Path
) -> None:
    kept = ("--set", f"control_store=sqlite:///{tmp_path}/control.db", *AT_ONCE)
    with Live([models], *kept, folder=tmp_path) as server, server.rest() as rest:
        start(server)
        first = said(ask(rest, "ann"))[0]["prediction_id"]
        assert tell(server, (first, True))["taken"] == 1
        with closing(sqlite3.connect(tmp_path / "control-experiments.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            second = said(ask(rest, "bob"))[0]["prediction_id"]
            outcome = {"prediction_id": second, "metric": "bought", "value": True}
            reply = server.ask("POST", "/v2/outcomes", {"outcomes": [outcome]})
            assert (reply.status, "experiment log" in reply.error) == (503, True)
            assert units(status(server)) == 1  # what was written can be read
        assert tell(server, (second, True)) == {
            "taken": 1,
            "duplicates": [],
            "unknown": [],
            "rejected": [],
        }
        assert units(status(server)) == 2


@pytest.mark.fault
def test_a_process_that_is_killed_loses_the_last_moment_at_most(
    models: Path, tmp_path: Path
) -> None:
    with Fleet([models], folder=tmp_path) as server:
        start(server)
        answered: list[tuple[float, str]] = []
        with server.rest() as rest:
            pid = int(ask(rest, "first").json()["outputs"][0]["data"][0].split()[1])
            began = time.monotonic()
            while time.monotonic() < began + 2 * FLUSHED_S:
                user = f"user{len(answered)}"
                ask(rest, user)
                answered.append((time.monotonic(), user))
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
        safe = 1 + sum(at < killed - FLUSHED_S for at, _ in answered)
        found = units(status(server))
        assert safe <= found <= len(answered) + 1
        assert safe > 100
