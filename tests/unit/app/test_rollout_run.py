"""``penstock rollout run``: a whole rollout of an HTTPRoute, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.app.shell import Ran, Shell
from tests.unit.rollout.kubernetes_api import KubernetesApi, answer_file, kubernetes_api
from tests.unit.rollout.outside_server import Asked, OutsideServer, Said, outside_server

PLAN = """
model: digits
candidate: 2
reference: 1
interval_s: 0.1
steps: [{{weight: 10, min_samples: 5, min_time_s: 0}}]
bake: {{min_samples: 5, min_time_s: 0}}
gates:
  - {{metric: prometheus, url: "{url}", query: errors, max: 0.01, consecutive: 2}}
"""


class Prometheus:
    """Knows two numbers."""

    def __init__(self, server: OutsideServer) -> None:
        self.url = server.url
        self.numbers = {"errors": 0.0, "requests": 100.0}
        self.queries: set[str] = set()
        server.answer = self._answer

    def _answer(self, asked: Asked) -> Said:
        (query,) = parse_qs(urlsplit(asked.path).query)["query"]
        self.queries.add(query)
        value = self.numbers["errors" if query == "errors" else "requests"]
        data = {"resultType": "scalar", "result": [1, str(value)]}
        return Said(200, json.dumps({"status": "success", "data": data}).encode())


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as running:
        yield running


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with outside_server() as server:
        yield Prometheus(server)


class Runner:
    """Runs the command with what it always needs."""

    def __init__(self, shell: Shell, folder: Path, api: KubernetesApi, prom: Prometheus) -> None:
        self._shell = shell
        self._plan = folder / "rollout.yaml"
        self._plan.write_text(PLAN.format(url=prom.url))
        self._args = ["--driver", "gateway-api", "--namespace", "models", "--route", "digits"]
        self._args += ["--stable", "digits-v1", "--candidate", "digits-v2", "--url", api.url]
        self._args += ["--prometheus", prom.url, "--state", str(folder / "state.db")]
        self._args += ["--requests", "increase(requests{{version='{candidate}'}}[{elapsed}s])"]

    def __call__(self, *more: str) -> Ran:
        return self._shell("rollout", "run", str(self._plan), *self._args, *more)


@pytest.fixture
def run(shell: Shell, tmp_path: Path, api: KubernetesApi, prometheus: Prometheus) -> Runner:
    return Runner(shell, tmp_path, api, prometheus)


def test_a_good_candidate(run: Runner, api: KubernetesApi, prometheus: Prometheus) -> None:
    ran = run("--json")
    assert ran.code == 0, ran.err
    end = json.loads(ran.out)
    assert end["phase"] == "done"
    reached = [line["to"] for line in end["history"]]
    assert reached == ["draft", "warm", "canary 10 %", "bake", "done"]
    assert api.weights == [0, 100_000]
    assert "increase(requests{{version='2'}}[1s])" in prometheus.queries


def test_a_bad_one(run: Runner, api: KubernetesApi, prometheus: Prometheus) -> None:
    prometheus.numbers["errors"] = 0.5
    ran = run()
    assert ran.code == 1
    assert "rolled back: prometheus errors" in ran.err
    assert api.weights == [100_000, 0]


def test_nothing_to_abort(run: Runner) -> None:
    ran = run("--abort", "why not")
    assert ran.code == 1
    assert "there is no rollout" in ran.err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--driver", "istio"], "--driver: expected gateway-api, got istio"),
        (["--url", "nonsense"], "--url: expected a URL"),
        (["--prometheus", "ftp://x"], "--prometheus: expected a URL"),
        (["--ca-file", "/nothing"], "--ca-file /nothing: no such file"),
        (["--url", ""], "this is no pod"),
    ],
)
def test_what_is_wrong_is_said_at_once(run: Runner, args: list[str], text: str) -> None:
    ran = run(*args)
    assert ran.code == 2
    assert text in ran.err


def test_a_plan_for_a_server(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "rollout.yaml").write_text("model: digits\ncandidate: 2\nreference: 1\n")
    ran = run()
    assert ran.code == 2
    assert "expected 'metric: prometheus'" in ran.err


@pytest.mark.parametrize(
    ("status", "name", "code"), [(404, "not_found", 2), (403, "forbidden", 2), (500, "conflict", 1)]
)
def test_a_splitter_that_cannot_be_asked_begins_nothing(
    run: Runner, api: KubernetesApi, status: int, name: str, code: int
) -> None:
    api.refusal = (status, answer_file(name))
    ran = run()
    assert ran.code == code
    assert "HTTPRoute models/digits: " in ran.err
    assert run("--abort", "x").err.endswith("'penstock rollout start'\n")
