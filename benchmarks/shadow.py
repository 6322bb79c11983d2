"""What a shadow costs the clients: p99 with every request copied, divided by p99 without.

One server, two versions of digits with the same files, of which one answers and the other is the
shadow: both run on the event loop, the hardest case. In each round each load runs with the shadow
and without it (the same route otherwise), in turn first. Open loop at fixed shares of what the
server can do, where there is capacity, and a closed loop at 32 connections, where there is none.

Writes benchmarks/results/shadow.json and .md. Exit status 1 when a request failed, or when the
median ratio of a load passes `--limit`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.load.open_loop import run_open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.percentiles import spread
from benchmarks.places import newest_onnx, without_root
from benchmarks.report import cell, heading, table, write_result
from benchmarks.swaps import copy_repository, publish

PRIMARY, SHADOW = 1, 2
CONNECTIONS = 32
TOLD_AFTER_S = 1.5
"""When every process has told what it counted."""


class Routed:
    """A server whose route is changed over HTTP."""

    def __init__(self, arm: Penstock) -> None:
        self._port = arm.http_port

    def set(self, *, shadowed: bool) -> None:
        """Have the primary answer everything, with a copy for the shadow or without.

        Raises ArmError when the server refuses.
        """
        stable = {"name": "stable", "version": PRIMARY, "weight": 100}
        other = {"name": "other", "version": SHADOW, "weight": 0}  # so that both routes count
        route: dict[str, object] = {"variants": [stable, other]}
        if shadowed:
            route["shadow"] = {"version": SHADOW}
        self._ask("PUT", route)
        time.sleep(TOLD_AFTER_S)  # the processes follow, and count anew

    def copies(self) -> dict[str, float]:
        """Return what became of the copies: pairs, agreed, errors, shed."""
        time.sleep(TOLD_AFTER_S)
        seen = self._ask("GET")["seen"]["shadow"]
        return {name: seen[name] for name in ("pairs", "agreed", "errors", "shed")}

    def _ask(self, method: str, value: object = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            body = None if value is None else json.dumps(value)
            connection.request(method, "/v2/routes/digits", body)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ArmError(f"{method} /v2/routes/digits: {answer.status} {text[:300]!r}")
        return json.loads(text)


class Loads:
    """The loads of a round, by name: open loop at shares of the capacity, and the closed one."""

    def __init__(self, arm: Penstock, folder: Path, given: argparse.Namespace) -> None:
        self._port = arm.http_port
        self._folder = write_requests(folder / "requests", [arm.request()])
        self._duration_s = given.duration
        self.capacity = self._closed()["req_s"]
        self.rates = {f"open {share:.0%}": share * self.capacity for share in given.shares}
        self.names = [*self.rates, f"closed {CONNECTIONS}"]

    def run(self, name: str) -> dict[str, float]:
        """Return what one load found; failed requests under `failed`."""
        if name in self.rates:
            rate = self.rates[name]
            return run_open_loop(self._port, self._folder, rate, self._duration_s)
        found = self._closed()
        return {**found, "failed": found["non_2xx"] + found["socket_errors"]}

    def _closed(self) -> dict[str, float]:
        return run_wrk(self._port, self._folder, CONNECTIONS, self._duration_s)


def one_round(routed: Routed, loads: Loads, *, shadow_first: bool) -> dict[str, dict]:
    """Run each load with and without the shadow; return both by load."""
    found: dict[str, dict] = {}
    for name in loads.names:
        both: dict[str, dict] = {}
        for shadowed in (shadow_first, not shadow_first):
            routed.set(shadowed=shadowed)
            result = loads.run(name)
            if shadowed:
                result["copies"] = routed.copies()
            both["with" if shadowed else "without"] = result
        both["p99_ratio"] = both["with"]["p99_ms"] / both["without"]["p99_ms"]
        found[name] = both
    return found


def summary(rounds: list[dict[str, dict]]) -> dict[str, dict]:
    """Return the figures of each load over the rounds."""
    return {name: _figures([one[name] for one in rounds]) for name in rounds[0]}


def _figures(pairs: list[dict]) -> dict:
    copies = [one["with"]["copies"] for one in pairs]
    offered = [max(1, each["pairs"] + each["errors"] + each["shed"]) for each in copies]
    of_round = list(zip(pairs, copies, offered, strict=True))
    rates = [one["with"].get("rate_sent") or one["with"]["req_s"] for one in pairs]
    return {
        "p99_ratio": spread([one["p99_ratio"] for one in pairs]),
        "p50_ratio": spread([one["with"]["p50_ms"] / one["without"]["p50_ms"] for one in pairs]),
        "p99_without_ms": spread([one["without"]["p99_ms"] for one in pairs]),
        "p99_with_ms": spread([one["with"]["p99_ms"] for one in pairs]),
        "req_s": spread(rates),
        "shed_share": spread([each["shed"] / count for _, each, count in of_round]),
        "pairs": spread([each["pairs"] for _, each, _ in of_round]),
        "disagreed": sum(each["pairs"] - each["agreed"] for each in copies),
        "errors": sum(each["errors"] for each in copies),
        "failed": sum(one[side]["failed"] for one in pairs for side in ("with", "without")),
    }


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    head = ["load", "requests/s", "p99 ms without", "p99 ms with", "p99 with / without"]
    head += ["p50 with / without", "copies shed", "pairs compared in a load"]
    rows = [
        [
            name,
            *(cell(found[key]) for key in ("req_s", "p99_without_ms", "p99_with_ms")),
            *(cell(found[key]) for key in ("p99_ratio", "p50_ratio", "shed_share", "pairs")),
        ]
        for name, found in document["found"].items()
    ]
    failed = sum(found["failed"] for found in document["found"].values())
    disagreed = sum(found["disagreed"] for found in document["found"].values())
    return (
        f"{heading(document)}\n{table(head, rows)}\n\n{failed} requests failed; "
        f"{disagreed} pairs disagreed.\n"
    )


def run(given: argparse.Namespace, folder: Path) -> dict:
    """Serve two versions, load them, stop; return the fields of the result.

    Raises ArmError when the server does not start, LoadError when a load does not run.
    """
    model = copy_repository(folder)
    with (model / "model.yaml").open("a") as manifest:
        manifest.write(f"{given.manifest}\n")
    publish(model, SHADOW)
    more = tuple(given.penstock_arguments)
    arm = Penstock(newest_onnx(model), folder / "penstock", model.parent, more)
    try:
        arm.start()
        arm.wait_ready()
        routed = Routed(arm)
        routed.set(shadowed=False)
        loads = Loads(arm, folder, given)
        print(f"capacity: {loads.capacity:.0f} requests/s", flush=True)
        rounds = []
        for number in range(given.rounds):
            rounds.append(one_round(routed, loads, shadow_first=bool(number % 2)))
            ratios = {name: round(both["p99_ratio"], 2) for name, both in rounds[-1].items()}
            print(f"round {number + 1}: {ratios}", flush=True)
        return {"capacity_req_s": loads.capacity, "found": summary(rounds), "rounds": rounds}
    finally:
        arm.stop()


def main() -> int:
    """Entry point; returns 0, 1 when a request failed, a ratio is too large or nothing ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds a load")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5])
    parser.add_argument("--limit", type=float, default=1.1, help="the largest median ratio")
    parser.add_argument("--manifest", default="", help="a line more of model.yaml")
    parser.add_argument("--name", default="shadow")
    parser.add_argument("penstock_arguments", nargs="*", help="after --: more of penstock serve")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "one answers, its copy is the shadow")
    document["settings"] = vars(given)
    document["how"] = f"{given.rounds} rounds, {given.duration:g} s a load, every request copied"
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        try:
            document.update(run(given, Path(folder)))
        except (ArmError, LoadError, FileNotFoundError) as error:
            print(f"LEFT OUT penstock: {without_root(str(error))}", file=sys.stderr)
            return 1
    write_result(document, markdown, picture=None)
    worst = 0.0
    for name, found in document["found"].items():
        worst = max(worst, found["p99_ratio"]["median"])
        print(f"{name}: p99 {cell(found['p99_ratio'])}, shed {cell(found['shed_share'])}")
    failed = sum(found["failed"] for found in document["found"].values())
    return 1 if failed or worst > given.limit else 0


if __name__ == "__main__":
    sys.exit(main())
