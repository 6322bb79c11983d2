"""Many models: 200 copies of digits in one server, all loaded, and within a budget for a few.

Two arms, one after the other: `all` loads every model at the start; `budget` loads on demand within
`--budget`, with no minimum time, so that nothing but the loads themselves is measured. Timed on one
keep-alive connection, one request at a time: a request to a model that is loaded (hit), and, in
the arm `budget`, requests that go round all models, so that each finds its model gone (cold: the
least recently used model is always the next one asked for). Every answer is compared with what the
first model says. RSS is that of the server's process tree, when ready and at the end.

Writes benchmarks/results/many_models.json and .md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.percentiles import latency_summary_ms
from benchmarks.places import digits_repository, newest_onnx, without_root
from benchmarks.report import heading, write_result

MIB = 2**20
AT_ONCE = ("--set", "watch.settle_s=0")
ON_DEMAND = ("--set", "memory.on_demand=true", "--set", "memory.min_loaded_s=0")


class Client:
    """One keep-alive connection that asks models by number and checks what they say."""

    def __init__(self, arm: Penstock) -> None:
        self._request = arm.request()
        self._connection = http.client.HTTPConnection("127.0.0.1", arm.http_port, timeout=30)
        self._expected: object = None

    def ask_s(self, number: int) -> float:
        """Ask model `number`; return the seconds. Raises ArmError on a wrong answer."""
        started = time.perf_counter()
        path = f"/v2/models/m{number}/infer"
        self._connection.request("POST", path, self._request.body, dict(self._request.headers))
        response = self._connection.getresponse()
        body = response.read()
        took_s = time.perf_counter() - started
        if response.status != 200:
            raise ArmError(f"m{number} answered {response.status}: {body[:200]!r}")
        outputs = json.loads(body)["outputs"]
        self._expected = self._expected or outputs
        if outputs != self._expected:
            raise ArmError(f"m{number} answered something else than the first model")
        return took_s

    def metric(self, name: str) -> float:
        """Return the value of a metric that has no labels."""
        self._connection.request("GET", "/metrics")
        page = self._connection.getresponse().read().decode()
        return float(
            next(line for line in page.splitlines() if line.startswith(f"{name} ")).split()[1]
        )

    def num_ready(self) -> int:
        """Return the number of models that are loaded."""
        self._connection.request("POST", "/v2/repository/index", b'{"ready": true}')
        return len(json.loads(self._connection.getresponse().read()))


def rss_mib(arm: Penstock) -> float:
    """Return the RSS of the server's process tree in MiB."""
    assert arm.server is not None
    return sum(process.memory_info().rss for process in arm.server.tree()) / MIB


def copy_models(folder: Path, count: int) -> Path:
    """Make a repository of `count` copies of digits; return its folder."""
    onnx = newest_onnx(digits_repository())
    for number in range(count):
        version = folder / f"m{number}" / "1"
        version.mkdir(parents=True)
        shutil.copy(onnx, version / "model.onnx")
    return folder


def start(arm: Penstock) -> dict[str, float]:
    """Start `arm`; return the seconds until it is ready, and its RSS then."""
    started = time.perf_counter()
    arm.start()
    arm.wait_ready(120)
    return {"start_s": time.perf_counter() - started, "rss_ready_mib": rss_mib(arm)}


def measure_all(arm: Penstock, given: argparse.Namespace) -> dict:
    """Return the figures of the arm that has every model loaded."""
    found: dict = start(arm)
    client = Client(arm)
    for number in range(given.models):
        client.ask_s(number)
    hits = [client.ask_s(number % given.models) for number in range(given.requests)]
    return {
        **found,
        "hit": latency_summary_ms(hits),
        "loaded_models": client.num_ready(),
        "held_mib": client.metric("penstock_memory_held_bytes") / MIB,
        "rss_mib": rss_mib(arm),
    }


def measure_budget(arm: Penstock, given: argparse.Namespace) -> dict:
    """Return the figures of the arm that loads on demand."""
    found: dict = start(arm)
    client = Client(arm)
    first = [client.ask_s(number) for number in range(given.models)]
    cold = [client.ask_s(n % given.models) for n in range(given.rounds * given.models)]
    loaded = client.num_ready()
    if loaded >= given.models:
        raise ArmError(f"all {loaded} models fit in {given.budget}: nothing is cold")
    hits = [client.ask_s(given.models - 1) for _ in range(given.requests)]
    return {
        **found,
        "first": latency_summary_ms(first),
        "cold": latency_summary_ms(cold),
        "hit": latency_summary_ms(hits),
        "loaded_models": loaded,
        "evictions": client.metric("penstock_model_evictions_total"),
        "held_mib": client.metric("penstock_memory_held_bytes") / MIB,
        "rss_mib": rss_mib(arm),
    }


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    rows = [
        ("process start to ready, s", "start_s", "{:.2f}"),
        ("models loaded at the end", "loaded_models", "{:.0f}"),
        ("held by models, as the server knows it, MiB", "held_mib", "{:.1f}"),
        ("RSS when ready, MiB", "rss_ready_mib", "{:.0f}"),
        ("RSS at the end, MiB", "rss_mib", "{:.0f}"),
    ]
    arms = document["arms"]
    lines = [heading(document), "| figure | all loaded | budget |", "|---|---|---|"]
    for label, key, form in rows:
        lines.append(
            f"| {label} | " + " | ".join(form.format(arm[key]) for arm in arms.values()) + " |"
        )
    lines += ["", "| request | p50 ms | p99 ms | max ms |", "|---|---|---|---|"]
    for label, arm, kind in (
        ("hit, all loaded", "all", "hit"),
        ("hit, budget", "budget", "hit"),
        ("cold, first load of the model", "budget", "first"),
        ("cold, another one has to go", "budget", "cold"),
    ):
        found = arms[arm][kind]
        lines.append(
            f"| {label} | {found['p50_ms']:.2f} | {found['p99_ms']:.2f} | {found['max_ms']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def run(given: argparse.Namespace, folder: Path) -> dict[str, dict]:
    """Measure both arms; return their figures by name. Raises ArmError where one cannot be."""
    repository = copy_models(folder / "models", given.models)
    onnx = newest_onnx(digits_repository())
    budget = (*AT_ONCE, *ON_DEMAND, "--set", f"memory.budget_bytes={given.budget}")
    found = {}
    for name, more, measure in (
        ("all", AT_ONCE, measure_all),
        ("budget", budget, measure_budget),
    ):
        arm = Penstock(onnx, folder / name, repository, more)
        try:
            found[name] = measure(arm, given)
        finally:
            arm.stop()
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return found


def main() -> int:
    """Entry point; returns 0, 1 when an arm could not be measured or answered wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--budget", default="8MiB")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all cold models")
    parser.add_argument("--requests", type=int, default=2000, help="hits to time")
    parser.add_argument("--name", default="many_models")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "many_models")
    document["settings"] = {key: value for key, value in vars(given).items() if key != "name"}
    document["how"] = f"one run, {given.models} models, a budget of {given.budget}, one connection"
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        try:
            document["arms"] = run(given, Path(folder))
        except (ArmError, FileNotFoundError) as error:
            print(f"LEFT OUT penstock: {without_root(str(error))}", file=sys.stderr)
            return 1
    write_result(document, markdown, picture=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
