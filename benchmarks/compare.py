"""Two command lines of the server, side by side, as a ratio of requests/s: what a change is worth.

    .venv/bin/python -m benchmarks.compare --a LINE --b LINE

where a LINE is such as ``{penstock} serve {model} --http-port {http_port} --set x=y``.
`{penstock}`, `{model}`, `{http_port}` and `{grpc_port}` are filled in. Without `--a` it is plain
`penstock serve`. In each round both servers are started and loaded in turn,
A B B A, one at a time.
Writes benchmarks/results/compare.json and .md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import Arm, ArmError
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.percentiles import spread
from benchmarks.places import PENSTOCK, digits_repository, newest_onnx, without_root
from benchmarks.processes import cpu_seconds
from benchmarks.report import cell, heading, write_result

LINE = "{penstock} serve {model} --host 127.0.0.1 --http-port {http_port} --grpc-port {grpc_port}"


class CommandLine(Arm):
    """A server given as a command line with places to fill in; answers the digits V2 request."""

    label = "command line"
    note = "given by the user"

    def __init__(self, line: str, onnx: Path, folder: Path) -> None:
        """Take the line; its first word must be the path of an executable once filled in."""
        super().__init__(onnx, folder)
        self._line = line

    def command(self) -> list[str]:
        """Return the command line on the ports of this start."""
        filled = self._line.format(
            penstock=shlex.quote(str(PENSTOCK)),
            model=shlex.quote(str(self.onnx.parent.parent)),
            http_port=self.http_port,
            grpc_port=self.grpc_port,
        )
        return shlex.split(filled)


def one_round(arms: list[CommandLine], folder: Path, given: argparse.Namespace) -> dict:
    """Start both arms, load them A B B A, stop them; return req_s and CPU per 1,000 of each.

    Raises ArmError or LoadError when an arm or the load fails.
    """
    found: dict[str, list[dict]] = {"a": [], "b": []}
    try:
        for arm in arms:
            arm.start()
            arm.wait_ready()
        requests = write_requests(folder / "requests", [arms[0].request()])
        for arm in arms:
            run_wrk(arm.http_port, requests, given.connections, 1.0)
        for name in "abba":
            arm = arms["ab".index(name)]
            assert arm.server is not None
            before_s = cpu_seconds(arm.server.tree())
            load = run_wrk(arm.http_port, requests, given.connections, given.duration)
            used_s = cpu_seconds(arm.server.tree()) - before_s
            load["cpu_s_per_1000"] = used_s / max(1, load["requests"]) * 1000
            found[name].append(load)
    finally:
        for arm in arms:
            arm.stop()
    return found


def summarise(rounds: list[dict]) -> dict:
    """Return the figures of A and B over the rounds, and the ratio A / B of each round's sums."""
    summary: dict = {}
    for name in ("a", "b"):
        loads = [load for one in rounds for load in one[name]]
        summary[name] = {
            figure: spread([load[figure] for load in loads])
            for figure in ("req_s", "p50_ms", "p99_ms", "cpu_s_per_1000")
        }
    summary["ratio"] = spread(
        [
            sum(load["req_s"] for load in one["a"]) / sum(load["req_s"] for load in one["b"])
            for one in rounds
        ]
    )
    return summary


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    lines = [heading(document)]
    lines += ["| line | requests/s | p50 ms | p99 ms | CPU s per 1,000 |", "|---|---|---|---|---|"]
    for name in ("a", "b"):
        figures = document["summary"][name]
        row = [cell(figures[key]) for key in ("req_s", "p50_ms", "p99_ms", "cpu_s_per_1000")]
        lines.append(f"| {name}: `{document['settings'][name]}` | " + " | ".join(row) + " |")
    lines.append(f"\nrequests/s of a / b, per round: {cell(document['summary']['ratio'])}\n")
    return "\n".join(lines)


def main() -> int:
    """Entry point; returns 0, 1 when an arm could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--a", default=LINE, help="command line")
    parser.add_argument("--b", required=True, help="command line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds a load")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--name", default="compare")
    given = parser.parse_args()
    lines = [given.a, given.b]
    document = machine.heading_fields(given.name, "compare")
    document["settings"] = {
        "rounds": given.rounds,
        "duration_s": given.duration,
        "connections": given.connections,
        "a": without_root(lines[0]),
        "b": without_root(lines[1]),
    }
    document["how"] = (
        f"{given.rounds} rounds, each A B B A with {given.duration:g} s a load over "
        f"{given.connections} connections"
    )
    onnx = newest_onnx(digits_repository())
    rounds = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        arms = [
            CommandLine(line, onnx, folder / key) for line, key in zip(lines, "ab", strict=True)
        ]
        try:
            for number in range(given.rounds):
                rounds.append(one_round(arms, folder, given))
                print(f"round {number + 1}: {summarise(rounds[-1:])['ratio']['median']:.3f}")
        except (ArmError, LoadError) as error:
            print(f"LEFT OUT: {without_root(str(error))}", file=sys.stderr)
            return 1
    document["summary"], document["loads"] = summarise(rounds), rounds
    write_result(document, markdown, picture=None)
    print(f"requests/s of a / b: {cell(document['summary']['ratio'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
