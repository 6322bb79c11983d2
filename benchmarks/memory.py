"""Memory: does the server grow with load/unload cycles, or with requests?

First 1,000 cycles of POST /v2/repository/models/digits/load and /unload under
`--model-control explicit`, then a million requests by wrk over 32 connections on a fresh server.
RSS of the process tree is sampled; the slope is a least-squares line through the second half of the
samples, when caches and allocators have settled. Writes benchmarks/results/memory.json and .md.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.places import digits_repository, newest_onnx, without_root
from benchmarks.processes import memory_mib
from benchmarks.report import heading, write_result
from benchmarks.swaps import copy_repository

CONNECTIONS = 32


def slope(points: list[tuple[float, float]]) -> float:
    """Return the least-squares slope of y over x; 0.0 for fewer than two distinct x."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    across = sum((x - mean_x) ** 2 for x, _ in points)
    along = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return along / across if across else 0.0


def summary(samples: list[tuple[float, float]], per: float) -> dict:
    """Return first, last and largest RSS in MiB and the growth per `per` steps.

    `samples` are (steps done, RSS in MiB) in order.
    """
    half = samples[len(samples) // 2 :]
    return {
        "before_mib": samples[0][1],
        "after_mib": samples[-1][1],
        "largest_mib": max(value for _, value in samples),
        "steps": samples[-1][0],
        "growth_mib": slope(half) * per,
        "growth_per_steps": per,
        "samples": samples,
    }


def rss_mib(arm: Penstock) -> float:
    """Return the RSS of the arm's process tree in MiB; ArmError when it has ended."""
    if arm.server is None or arm.server.exited() is not None:
        raise ArmError("the server ended")
    return memory_mib(arm.server.tree())[0]


def _post(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("POST", path, b"{}", {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ArmError(f"POST {path} answered {answer.status}: {body[:200]!r}")


def cycle(arm: Penstock, cycles: int) -> dict:
    """Load and unload digits `cycles` times, one prediction in each; return `summary`.

    Raises ArmError when a call is refused or the server ends.
    """
    arm.start()
    try:
        arm.wait_ready()
        samples = [(0.0, rss_mib(arm))]
        connection = http.client.HTTPConnection("127.0.0.1", arm.http_port, timeout=30)
        every = max(1, cycles // 50)
        started = time.perf_counter()
        for number in range(1, cycles + 1):
            _post(connection, "/v2/repository/models/digits/load")
            arm.call_http()
            _post(connection, "/v2/repository/models/digits/unload")
            if number % every == 0:
                samples.append((float(number), rss_mib(arm)))
        took_s = time.perf_counter() - started
        return {**summary(samples, 1000.0), "seconds_per_cycle": took_s / cycles}
    finally:
        arm.stop()


def flood(arm: Penstock, folder: Path, requests: int, segment_s: float) -> dict:
    """Send at least `requests` requests in segments of `segment_s`; return `summary`.

    Raises ArmError or LoadError when the server or wrk fails.
    """
    arm.start()
    try:
        arm.wait_ready()
        written = write_requests(folder / "requests", [arm.request()])
        samples = [(0.0, rss_mib(arm))]
        done = failed = 0.0
        while done < requests:
            load = run_wrk(arm.http_port, written, CONNECTIONS, segment_s)
            if load["requests"] == 0:
                raise ArmError("the server answers nothing")
            done += load["requests"]
            failed += load["non_2xx"] + load["socket_errors"] + load["timeouts"]
            samples.append((done, rss_mib(arm)))
            print(f"{done:,.0f} requests, {samples[-1][1]:.1f} MiB", flush=True)
        return {**summary(samples, 1e6), "failed": failed}
    finally:
        arm.stop()


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    lines = [heading(document)]
    lines += ["| load | before MiB | after MiB | largest MiB | growth, second half |"]
    lines.append("|---|---|---|---|---|")
    for name, unit in (("cycles", "1,000 cycles"), ("requests", "1,000,000 requests")):
        if name in document:
            part = document[name]
            figures = [f"{part[key]:.1f}" for key in ("before_mib", "after_mib", "largest_mib")]
            growth = f"{part['growth_mib']:+.2f} MiB per {unit}"
            lines.append(f"| {part['steps']:,.0f} {name} | {' | '.join(figures)} | {growth} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Entry point; returns 0, 1 when either part could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000, help="0: leave this part out")
    parser.add_argument("--requests", type=int, default=1_000_000, help="0: leave this part out")
    parser.add_argument("--segment", type=float, default=5.0, help="seconds between RSS samples")
    parser.add_argument("--name", default="memory")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "memory")
    document["settings"] = {"segment_s": given.segment, "connections": CONNECTIONS}
    document["how"] = "one run of each load"
    onnx = newest_onnx(digits_repository())
    complete = True
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        try:
            if given.cycles:
                model = copy_repository(folder)
                more = ("--model-control", "explicit")
                arm = Penstock(onnx, folder / "cycles", model.parent, more)
                document["cycles"] = cycle(arm, given.cycles)
            if given.requests:
                arm = Penstock(onnx, folder / "flood")
                document["requests"] = flood(arm, folder, given.requests, given.segment)
        except (ArmError, LoadError, OSError) as error:
            print(f"LEFT OUT penstock: {without_root(str(error))}", file=sys.stderr)
            complete = False
    if "cycles" in document or "requests" in document:
        write_result(document, markdown, picture=None)
        print(markdown(document).split("\n\n", 2)[-1])
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
