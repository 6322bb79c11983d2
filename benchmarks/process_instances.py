"""Copies in processes beside copies on threads: what they cost and what they bring.

Measured in turn over the rounds: the digits model (a tiny ONNX graph) with copies on the event
loop, on a thread and in worker processes, at 1 and 32 connections; a model of about 1 ms of pure
Python a row with one thread and with two processes; and a 16 MiB tensor to a worker and back beside
a copy of it in memory. Writes benchmarks/results/process_instances.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import machine
from benchmarks.arms.penstock import Penstock
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import run_wrk
from benchmarks.messages import HttpRequest, digits_v2_json
from benchmarks.percentiles import spread
from benchmarks.places import digits_repository, newest_onnx
from benchmarks.report import cell, heading, write_result

LAYOUTS: dict[str, dict] = {
    "digits, event loop": {"inline": "auto"},
    "digits, 1 thread": {"inline": "never"},
    "digits, 1 process": {"kind": "process"},
    "digits, 2 processes": {"kind": "process", "count": 2},
    "spin, 1 thread": {"inline": "never"},
    "spin, 2 threads": {"inline": "never", "count": 2},
    "spin, 2 processes": {"kind": "process", "count": 2},
}
CONNECTIONS = (1, 32)
LARGE_ROWS = 4 * 1024 * 1024  # of 4 bytes: 16 MiB
SPIN = '''
import penstock
from penstock import Rows


class Spin(penstock.Model):
    """About 1 ms of pure Python a row, which holds the interpreter's lock."""

    def predict(self, x: Rows["FP32"]) -> Rows["FP32"]:
        for _ in range(len(x)):
            total = 0
            for number in range(27_000):
                total += number
        return x
'''
ECHO = """
import penstock
from penstock import Rows


class Echo(penstock.Model):
    def predict(self, x: Rows["FP32", -1]) -> Rows["FP32", -1]:
        return x
"""


def make_model(folder: Path, layout: str) -> tuple[Path, HttpRequest]:
    """Write the model folder of a layout; return it and a request for it."""
    name = layout.split(",")[0]
    model = folder / layout.replace(",", "").replace(" ", "-") / name
    (model / "1").mkdir(parents=True)
    if name == "digits":
        shutil.copy(newest_onnx(digits_repository()), model / "1" / "model.onnx")
        request = digits_v2_json()
    else:
        (model / "1" / "model.py").write_text(SPIN)
        tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}
        body = json.dumps({"inputs": [tensor]}).encode()
        request = HttpRequest("/v2/models/spin/infer", body)
    manifest: dict = {"instances": LAYOUTS[layout]}
    if name == "spin":  # rows are computed one by one: a large batch only keeps a copy waiting
        manifest["max_batch_size"] = 4
    (model / "model.yaml").write_text(json.dumps(manifest))
    return model, request


def measure(folder: Path, layout: str, duration_s: float) -> dict[str, dict[str, float]]:
    """Serve a layout and load it; req_s, p50_ms and p99_ms for each number of connections."""
    model, request = make_model(folder, layout)
    arm = Penstock(model / "1" / "model.onnx", model.parent / "server", model)
    requests = write_requests(model.parent / "requests", [request])
    try:
        arm.start()
        arm.wait_ready()
        run_wrk(arm.http_port, requests, 32, 1)
        loads = {}
        for connections in CONNECTIONS:
            load = run_wrk(arm.http_port, requests, connections, duration_s)
            if load["non_2xx"]:
                raise RuntimeError(f"{layout}: {load['non_2xx']} requests failed")
            loads[str(connections)] = {k: load[k] for k in ("req_s", "p50_ms", "p99_ms")}
        return loads
    finally:
        arm.stop()


async def measure_crossing(folder: Path, times: int) -> dict[str, float]:
    """A 16 MiB tensor to a worker and back, and copied once in memory; medians in ms."""
    import penstock

    model = folder / "echo"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text(ECHO)
    (model / "model.yaml").write_text(json.dumps({"instances": {"kind": "process"}}))
    large = np.random.default_rng(1).random((1, LARGE_ROWS), np.float32)
    target = np.zeros_like(large)
    crossing, copy = [], []
    async with penstock.serving(model, settings={"model_control": "none"}) as models:
        for _ in range(times):
            started = time.perf_counter()
            np.copyto(target, large)
            copy.append(time.perf_counter() - started)
            started = time.perf_counter()
            answer = await models.infer("echo", x=large)
            crossing.append(time.perf_counter() - started)
        assert np.array_equal(next(iter(answer.values())), large)
    found = {"there_and_back_ms": median(crossing) * 1e3, "memcpy_ms": median(copy) * 1e3}
    return {
        **found,
        "each_way_to_memcpy_ratio": found["there_and_back_ms"] / 2 / found["memcpy_ms"],
    }


def targets(rounds: list[dict]) -> dict[str, dict]:
    """The ratios the product promises, each within its round."""

    def figures(layout: str, connections: int, figure: str) -> list[float]:
        return [one[layout][str(connections)][figure] for one in rounds]

    def pairs(first: list[float], second: list[float]) -> list[tuple[float, float]]:
        return list(zip(first, second, strict=True))

    added = {}
    for beside in ("digits, event loop", "digits, 1 thread"):
        times = pairs(figures("digits, 1 process", 1, "p50_ms"), figures(beside, 1, "p50_ms"))
        added[f"added at 1 connection beside {beside}, us"] = spread(
            [(a - b) * 1e3 for a, b in times]
        )
        rates = pairs(figures("digits, 1 process", 32, "req_s"), figures(beside, 32, "req_s"))
        added[f"throughput at 32 / that of {beside}"] = spread([a / b for a, b in rates])
    spin = pairs(figures("spin, 2 processes", 32, "req_s"), figures("spin, 1 thread", 32, "req_s"))
    added["spin, 2 processes / 1 thread"] = spread([a / b for a, b in spin])
    crossing = [one["crossing"]["each_way_to_memcpy_ratio"] for one in rounds]
    added["16 MiB each way / one memcpy"] = spread(crossing)
    return added


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    lines = [heading(document), "| what | found |", "|---|---|"]
    lines += [f"| {name} | {cell(figure)} |" for name, figure in document["targets"].items()]
    lines += ["", "| layout | connections | req/s | p50 ms | p99 ms |", "|---|---|---|---|---|"]
    for layout in LAYOUTS:
        for connections in CONNECTIONS:
            loads = [one[layout][str(connections)] for one in document["rounds"]]
            cells = [cell(spread([x[k] for x in loads])) for k in ("req_s", "p50_ms", "p99_ms")]
            lines.append(f"| {layout} | {connections} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds a load")
    given = parser.parse_args()
    rounds: list[dict] = []
    for number in range(given.rounds):
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
            folder = Path(name)
            found: dict = {}
            for layout in LAYOUTS:
                found[layout] = measure(folder, layout, given.duration)
                said = ", ".join(f"{c}: {x['req_s']:.0f}/s" for c, x in found[layout].items())
                print(f"round {number + 1} {layout}: {said}", flush=True)
            found["crossing"] = asyncio.run(measure_crossing(folder, 15))
            print(f"round {number + 1} {found['crossing']}", flush=True)
            rounds.append(found)
    document = machine.heading_fields("process_instances", "process_instances")
    document["settings"] = {"rounds": given.rounds, "duration_s": given.duration}
    document["how"] = f"{given.rounds} rounds, layouts in turn, {given.duration:g} s a load"
    document["rounds"] = rounds
    document["targets"] = targets(rounds)
    write_result(document, markdown, picture=None)
    for name, figure in document["targets"].items():
        print(f"{name}: {cell(figure)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
