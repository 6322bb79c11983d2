"""Which engine should carry gRPC? Each answers ModelInfer with constant bytes; no model.

The engines take turns over the rounds. For each: h2load with 1, 32 and 128 streams on one
connection and with 32 connections of one stream; requests/s, latency, and processor time a call of
all processes of the server. Writes benchmarks/results/grpc_engines.json and .md.

Needs ``python -m benchmarks.venvs grpc_engines``.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine, v2
from benchmarks.engines_of_grpc import ENGINES, GrpcEngine, Place
from benchmarks.load.h2load import Calls, run_h2load
from benchmarks.load.wrk import LoadError
from benchmarks.percentiles import spread
from benchmarks.processes import ServerProcess, cpu_seconds, free_port
from benchmarks.protobuf import grpc_frame
from benchmarks.report import cell, heading, table, write_result
from benchmarks.workloads.tiny import tiny

LOADS = ((1, 1), (1, 32), (1, 128), (32, 1))
FIGURES = ("req_s", "p50_ms", "p99_ms", "cpu_us")
_PATIENCE_S = 20.0


def measure(engine: GrpcEngine, folder: Path, duration_s: float) -> dict[str, dict | str]:
    """Run an engine and load it; for each load its figures, or why there are none."""
    workload = tiny()
    answer = v2.grpc_answer(workload.model, workload.expected)
    call = v2.grpc_call(workload.model, workload.samples[0])
    place = Place(folder, free_port(), folder / "answer.pb", folder / "answer.grpc")
    place.message.write_bytes(answer)
    place.framed.write_bytes(grpc_frame(answer))
    request = folder / "request.grpc"
    request.write_bytes(grpc_frame(call.message))
    calls = Calls(place.port, call.path, request, len(answer) + 5)
    servers = [
        ServerProcess(command, folder / f"{number}.log", engine.variables(place), folder)
        for number, command in enumerate(engine.commands(place))
    ]
    try:
        for server in servers:
            server.start()
        _wait(place.port)
        return {f"{c} x {s}": _load(servers, calls, (c, s), duration_s) for c, s in LOADS}
    finally:
        for server in servers:
            server.stop()


def _load(
    servers: list[ServerProcess], calls: Calls, shape: tuple[int, int], duration_s: float
) -> dict | str:
    """Load a server; its figures, or why there are none."""
    family = [process for server in servers for process in server.tree()]
    try:
        run_h2load(calls, *shape, 1)
        before_s = cpu_seconds(family)
        found = run_h2load(calls, *shape, duration_s)
    except LoadError as error:
        return str(error)
    if found["failed"] > shape[0] * shape[1]:
        return f"{found['failed']:.0f} of {found['requests'] + found['failed']:.0f} calls failed"
    cpu_s = cpu_seconds(family) - before_s
    return {**found, "cpu_us": 1e6 * cpu_s / found["requests"]}


def _wait(port: int) -> None:
    """Return when a port is listened on; RuntimeError when it never is."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            time.sleep(0.2)
            return
    raise RuntimeError(f"nothing listens on port {port}")


def figures(rounds: list[dict], label: str, load: str, figure: str) -> dict | None:
    """The spread of a figure over the rounds; None: a round has none."""
    found = [one[label][load] for one in rounds]
    if any(isinstance(value, str) for value in found):
        return None
    return spread([value[figure] for value in found])


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    rounds = document["rounds"]
    loads = [f"{c} x {s}" for c, s in LOADS]
    ratios = [
        [label, *(cell(document["ratios"][label].get(load)) for load in loads)]
        for label in document["ratios"]
    ]
    rows = [
        [engine.label, load, *(cell(figures(rounds, engine.label, load, f)) for f in FIGURES)]
        for load in loads
        for engine in ENGINES
    ]
    notes = [f"- {engine.label}: {engine.note}" for engine in ENGINES]
    failures = [
        f"- {label}, {load}, round {number}: {value}"
        for number, one in enumerate(rounds, 1)
        for label, of in one.items()
        for load, value in of.items()
        if isinstance(value, str)
    ]
    columns = ["engine", "connections x streams", "req/s", "p50 ms", "p99 ms", "CPU us a call"]
    parts = [heading(document), *notes, "", "Requests/s beside grpc.aio's, within each round:", ""]
    parts += [table(["engine", *loads], ratios), "", table(columns, rows)]
    if failures:
        parts += ["", "No figures:", "", *failures]
    return "\n".join(parts) + "\n"


def ratios(rounds: list[dict]) -> dict[str, dict]:
    """Each engine's requests/s beside the first one's, within each round."""
    first = ENGINES[0].label
    found: dict[str, dict] = {}
    for engine in ENGINES[1:]:
        found[engine.label] = {}
        for load in (f"{c} x {s}" for c, s in LOADS):
            pairs = [(one[engine.label][load], one[first][load]) for one in rounds]
            if not any(isinstance(value, str) for pair in pairs for value in pair):
                values = [ours["req_s"] / theirs["req_s"] for ours, theirs in pairs]
                found[engine.label][load] = spread(values)
    return found


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds a load")
    given = parser.parse_args()
    rounds: list[dict] = []
    for number in range(given.rounds):
        found: dict = {}
        for engine in ENGINES[number % len(ENGINES) :] + ENGINES[: number % len(ENGINES)]:
            with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
                found[engine.label] = measure(engine, Path(name), given.duration)
            said = ", ".join(
                f"{load}: {x if isinstance(x, str) else format(x['req_s'], '.0f') + '/s'}"
                for load, x in found[engine.label].items()
            )
            print(f"round {number + 1} {engine.label}: {said}", flush=True)
        rounds.append(found)
    document = machine.heading_fields("grpc_engines", "grpc_engines")
    document["settings"] = {"rounds": given.rounds, "duration_s": given.duration}
    document["how"] = f"{given.rounds} rounds, engines in turn, {given.duration:g} s a load"
    document["rounds"] = rounds
    document["ratios"] = ratios(rounds)
    write_result(document, markdown, picture=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
