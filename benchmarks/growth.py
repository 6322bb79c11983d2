"""How cost grows: requests/s and CPU time per request of `penstock serve` against what grows.

Four sweeps, in turn over the rounds: connections (1 to 2,000, the digits model in JSON), loaded
models (1 to 500 copies of digits, asked in turn), the size of a tensor (16 B to 64 MiB, binary, to
a model that looks at one value of it), and serving processes (`penstock serve --workers`, where it
has that). Closed loop, wrk; memory is the RSS of the server's process tree after its loads.

Writes benchmarks/results/growth.json, .md and .svg.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.many_models import AT_ONCE, copy_models
from benchmarks.messages import HttpRequest, digits_v2_json
from benchmarks.percentiles import spread
from benchmarks.places import PENSTOCK, RESULTS, digits_repository, newest_onnx, without_root
from benchmarks.processes import cpu_seconds, memory_mib, settle
from benchmarks.report import cell, heading, table, write_result
from benchmarks.run import allow_files
from benchmarks.v2 import binary_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECTIONS = (1, 8, 32, 128, 512, 1000, 2000)
MODELS = (1, 10, 50, 100, 200, 500)
SIZES = tuple(16 * 4**power for power in range(12))  # bytes: 16 B to 64 MiB
WORKERS = (1, 2, 4)
PEAK = 32  # connections where they are not what grows
LARGE = 4  # connections for tensors: 4 of 64 MiB are in memory at once
LONG_S = 120.0  # for a server with many models to be ready
FIGURES = ("req_s", "p50_ms", "p99_ms", "cpu_us", "rss_mib", "refused")
TITLES = {
    "connections": "connections",
    "models": f"loaded models, {PEAK} connections",
    "size": f"tensor bytes, {LARGE} connections",
    "workers": f"serving processes, {PEAK} connections",
}
FIRST = '''
"""Looks at one value of a tensor."""

import penstock
from penstock import Rows


class First(penstock.Model):
    """The first value of each row."""

    inline_safe = True

    def predict(self, x: Rows["FP32", -1]) -> Rows["FP32"]:
        """Return x[:, 0]."""
        return x[:, 0].copy()
'''


def measure(arm: Penstock, folder: Path, connections: int, duration_s: float) -> dict[str, float]:
    """Load a running `arm` with the requests of `folder` and return FIGURES.

    Refused requests (a server may shed load) are counted in `refused`, a share of all.
    Raises ArmError when connections break or nothing is answered, LoadError when wrk fails.
    """
    assert arm.server is not None
    tree = arm.server.tree()
    before_s = cpu_seconds(tree)
    load = run_wrk(arm.http_port, folder, connections, duration_s)
    used_s = cpu_seconds(tree) - before_s
    if load["socket_errors"] or load["req_s"] <= 0:
        raise ArmError(f"{connections} connections: {load}")
    settle(tree)
    found = {name: load[name] for name in ("req_s", "p50_ms", "p99_ms")}
    found["refused"] = load["non_2xx"] / load["requests"]
    found["cpu_us"] = used_s / load["requests"] * 1e6
    return {**found, "rss_mib": memory_mib(arm.server.tree())[0]}


class Growth:
    """The sweeps of one round; `folder` is scratch. Each yields (what there is, figures)."""

    def __init__(self, folder: Path, duration_s: float) -> None:
        self._folder = folder
        self._duration_s = duration_s
        self._onnx = newest_onnx(digits_repository())
        self._one = write_requests(folder / "one", [digits_v2_json()])

    def _warm(self, arm: Penstock, folder: Path, connections: int) -> None:
        arm.start()
        arm.wait_ready(LONG_S)
        run_wrk(arm.http_port, folder, connections, 1.0)

    def connections(self) -> Iterator[tuple[int, dict]]:
        """One server, more and more connections to it."""
        arm = Penstock(self._onnx, self._folder / "connections")
        try:
            self._warm(arm, self._one, PEAK)
            for count in CONNECTIONS:
                yield count, measure(arm, self._one, count, self._duration_s)
        finally:
            arm.stop()

    def models(self) -> Iterator[tuple[int, dict]]:
        """Servers with more and more models, asked in turn."""
        for count in MODELS:
            home = self._folder / f"models-{count}"
            repository = copy_models(home / "repository", count)
            body = digits_v2_json().body
            paths = [f"/v2/models/m{number}/infer" for number in range(count)]
            requests = write_requests(home / "requests", [HttpRequest(p, body) for p in paths])
            arm = Penstock(self._onnx, home / "server", repository, AT_ONCE)
            try:
                self._warm(arm, requests, PEAK)
                yield count, measure(arm, requests, PEAK, self._duration_s)
            finally:
                arm.stop()
                shutil.rmtree(home)

    def size(self) -> Iterator[tuple[int, dict]]:
        """One server, larger and larger tensors to it."""
        model = self._folder / "first"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text(FIRST)
        (model / "model.yaml").write_text("max_batch_size: 1\n")
        arm = Penstock(self._onnx, self._folder / "size", model)
        try:
            for size in SIZES:
                array = np.zeros((1, size // 4), np.float32)
                request = binary_request("/v2/models/first/infer", {"x": array})
                folder = write_requests(self._folder / f"size-{size}", [request])
                if size == SIZES[0]:
                    self._warm(arm, folder, LARGE)
                yield size, measure(arm, folder, LARGE, self._duration_s)
                shutil.rmtree(folder)
        finally:
            arm.stop()
            shutil.rmtree(model)

    def workers(self) -> Iterator[tuple[int, dict]]:
        """Servers of more and more processes; none where this penstock has no such option."""
        if not has_workers():
            return
        for count in WORKERS:
            home = self._folder / f"workers-{count}"
            arm = Penstock(self._onnx, home, more=("--workers", str(count)))
            try:
                self._warm(arm, self._one, PEAK)
                yield count, measure(arm, self._one, PEAK, self._duration_s)
            finally:
                arm.stop()


def has_workers() -> bool:
    """Return whether `penstock serve` knows --workers."""
    command = [str(PENSTOCK), "serve", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "--workers" in done.stdout


def summarise(rounds: Sequence[dict]) -> dict:
    """Return, by sweep and by what there is, the spread of each figure over the rounds."""
    summary: dict = {}
    for sweep in TITLES:
        points = {at: None for one in rounds for at in one.get(sweep, {})}
        for at in points:
            found = [one[sweep][at] for one in rounds if at in one.get(sweep, {})]
            into = summary.setdefault(sweep, {})
            into[at] = {name: spread([load[name] for load in found]) for name in FIGURES}
    return summary


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    parts = [heading(document)]
    head = ["requests/s", "p50 ms", "p99 ms", "CPU us a request", "RSS MiB", "refused"]
    for sweep, title in TITLES.items():
        points = document["summary"].get(sweep)
        if points is None:
            why = document["left_out"].get(sweep, "not asked for")
            parts.append(f"Not measured: {title}: {why}\n")
            continue
        large = sweep == "size"
        rows = []
        for at, figures in points.items():
            row = [f"{int(at):,}", *(cell(figures[name]) for name in FIGURES)]
            if large:
                row.append(f"{int(at) * figures['req_s']['median'] / 2**20:,.1f}")
            rows.append(row)
        more = ["MiB/s"] if large else []
        parts += [f"## Against {title}\n", table([sweep, *head, *more], rows), ""]
    return "\n".join(parts)


def run(given: argparse.Namespace, document: dict) -> None:
    """Run all rounds into `document`: `rounds`, `left_out` (why a sweep ended) and `summary`."""
    rounds: list[dict] = []
    left_out: dict[str, str] = document.setdefault("left_out", {})
    if not has_workers():
        left_out["workers"] = "penstock serve has no --workers"
        print(f"LEFT OUT workers: {left_out['workers']}", flush=True)
    for number in range(given.rounds):
        one: dict = {}
        rounds.append(one)
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            growth = Growth(Path(folder), given.duration)
            for sweep in given.sweeps:
                try:
                    for at, figures in getattr(growth, sweep)():
                        one.setdefault(sweep, {})[str(at)] = figures
                        said = f"{figures['req_s']:.0f}/s, {figures['cpu_us']:.0f} us"
                        print(f"round {number + 1} {sweep} {at}: {said}", flush=True)
                except (ArmError, LoadError) as error:
                    left_out[sweep] = without_root(str(error))
                    print(f"LEFT OUT {sweep}: {error}", flush=True)
    document["rounds"] = rounds
    document["summary"] = summarise(rounds)


def main() -> int:
    """Entry point; returns 0, 1 when a sweep could not be ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=2.0, help="whole seconds a load")
    parser.add_argument("--sweeps", default=",".join(TITLES), help="of these, with commas")
    parser.add_argument("--name", default="growth")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    given = parser.parse_args()
    given.sweeps = [name for name in TITLES if name in given.sweeps.split(",")]
    allow_files()
    document = machine.heading_fields(given.name, "growth")
    document["settings"] = {"rounds": given.rounds, "duration_s": given.duration}
    document["how"] = f"{given.rounds} round(s), sweeps in turn, {given.duration:g} s a load"
    run(given, document)
    document["load_average_at_end"] = machine.describe()["load_average_at_start"]
    write_result(document, markdown, picture="growth_picture.py", folder=given.out)
    return 1 if set(document["left_out"]) - {"workers"} else 0


if __name__ == "__main__":
    sys.exit(main())
