"""Workload `compute`: MiniLM-L6-v2 over sentences of mixed length, where the model sets the pace.

Compared are the bare engine in its best loop, and Penstock with one sentence a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.minilm import (
    FLOOR_CHOICES,
    SINGLE,
    SINGLE_AS_SERVED,
    PenstockMiniLm,
    binary_request,
    json_request,
    load_tokens,
    measure,
)
from benchmarks.load.open_loop import run_open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.percentiles import spread
from benchmarks.places import without_root
from benchmarks.processes import PeakMemory, cpu_seconds
from benchmarks.report import cell, heading, write_result

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from benchmarks.settings import Settings

CONNECTIONS = 32
HALF_LOAD = ("rate_sent", "p50_ms", "p99_ms", "p99_to_single_ratio", "p99_to_single_p99_ratio")
TRIAL_SHARE = 0.4  # of a load's duration, for each way of looping that the first round tries


class ComputeWorkload:
    """Runs the floor and Penstock in turn over the rounds."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._arm = PenstockMiniLm(folder / "penstock-minilm")
        tokens = load_tokens()
        self._json = write_requests(folder / "json", [json_request(ids) for ids in tokens])
        self._binary = write_requests(folder / "binary", [binary_request(ids) for ids in tokens])
        self.trials: dict[str, float] = {}
        self.floor: list[dict] = []
        self.served: list[dict] = []
        self.left_out: str | None = None

    def run(self) -> None:
        """Try the loops, then alternate the best loop and Penstock for all rounds."""
        trial_s = max(1.0, self._settings.duration_s * TRIAL_SHARE)
        for choice in FLOOR_CHOICES:
            self.trials[str(choice)] = measure(choice, trial_s)["sentences_s"]
            print(f"floor, {choice}: {self.trials[str(choice)]:.0f} sentences/s", flush=True)
        best = max(FLOOR_CHOICES, key=lambda choice: self.trials[str(choice)])
        for number in range(self._settings.rounds):
            found = measure(best, self._settings.duration_s)
            single = measure(SINGLE, self._settings.duration_s)
            alike = measure(SINGLE_AS_SERVED, self._settings.duration_s)
            self.floor.append(
                {
                    **found,
                    "choice": str(best),
                    "single_ms": single["run_median_ms"],
                    "single_as_served_p99_ms": alike["run_p99_ms"],
                }
            )
            print(f"round {number + 1} floor: {found['sentences_s']:.0f} sentences/s", flush=True)
            if self.left_out is None:
                self._serve(number, single["run_median_ms"], alike["run_p99_ms"])

    def versions(self) -> dict[str, str]:
        """Return the versions of Penstock and what it runs on."""
        return self._arm.versions()

    def _serve(self, number: int, single_ms: float, alike_p99_ms: float) -> None:
        arm = self._arm
        try:
            arm.start()
            arm.wait_ready()
            arm.check_answer(arm.expected())
            found = self._loads(single_ms, alike_p99_ms)
            self.served.append(found)
            rate = found["closed"]["json"]["req_s"]
            print(f"round {number + 1} penstock: {rate:.0f} sentences/s", flush=True)
        except (ArmError, LoadError, RuntimeError) as error:
            self.left_out = without_root(str(error))
            print(f"LEFT OUT penstock: {error}", flush=True)
        finally:
            arm.stop()

    def _loads(self, single_ms: float, alike_p99_ms: float) -> dict:
        settings, port, server = self._settings, self._arm.http_port, self._arm.server
        assert server is not None
        run_wrk(port, self._json, CONNECTIONS, settings.warm_up_s)
        found: dict = {"closed": {}, "open": {}}
        with PeakMemory(server) as memory:
            for encoding, folder in (("json", self._json), ("binary", self._binary)):
                before_s = cpu_seconds(server.tree())
                load = run_wrk(port, folder, CONNECTIONS, settings.duration_s)
                used_s = cpu_seconds(server.tree()) - before_s
                load["cpu_s_per_1000"] = used_s / max(1, load["requests"]) * 1000
                found["closed"][encoding] = load
            rate = found["closed"]["json"]["req_s"] / 2
            for arrivals in ("poisson", "constant"):
                load = run_open_loop(
                    port, self._json, max(rate, 1.0), settings.duration_s, arrivals=arrivals
                )
                load["p99_to_single_ratio"] = load["p99_ms"] / single_ms
                load["p99_to_single_p99_ratio"] = load["p99_ms"] / alike_p99_ms
                found["open"][arrivals] = load
        found["peak_rss_mib"] = memory.peak_rss_mib
        return found


def summarise(floor: list[dict], served: list[dict]) -> dict:
    """Return the figures of each arm over the rounds, and Penstock's share of the floor."""
    arms: dict = {"floor": {"sentences_s": spread([one["sentences_s"] for one in floor])}}
    for encoding in ("json", "binary") if served else ():
        loads = [one["closed"][encoding] for one in served]
        shares = [
            load["req_s"] / bare["sentences_s"] for load, bare in zip(loads, floor, strict=False)
        ]
        arms[f"penstock {encoding}"] = {
            "sentences_s": spread([load["req_s"] for load in loads]),
            "share_of_floor": spread(shares),
            "p50_ms": spread([load["p50_ms"] for load in loads]),
            "p99_ms": spread([load["p99_ms"] for load in loads]),
            "cpu_s_per_1000": spread([load["cpu_s_per_1000"] for load in loads]),
            "failed": sum(
                load["non_2xx"] + load["socket_errors"] + load["timeouts"] for load in loads
            ),
        }
    return arms


def half_load(served: list[dict]) -> dict:
    """Return the open loop's figures at half of the closed loop's throughput."""
    found = {}
    for arrivals in ("poisson", "constant"):
        loads = [one["open"][arrivals] for one in served]
        figures = HALF_LOAD
        found[arrivals] = {name: spread([load[name] for load in loads]) for name in figures}
        found[arrivals]["failed"] = sum(load["failed"] for load in loads)
    return found


def compute_markdown(document: dict) -> str:
    """Return the markdown page of a result of the workload `compute`."""
    lines = [heading(document), f"Floor: {document['floor_choice']}.\n"]
    lines.append("| arm | sentences/s | share of floor | p50 ms | p99 ms | failed |")
    lines.append("|---|---|---|---|---|---|")
    for name, arm in document["arms"].items():
        figures = ("sentences_s", "share_of_floor", "p50_ms", "p99_ms")
        row = [name, *(cell(arm.get(figure)) for figure in figures), str(arm.get("failed", 0))]
        lines.append("| " + " | ".join(row) + " |")
    lines.append(
        f"\nA single execution: batch 1, 2 threads, median {cell(document['single_ms'])} ms; as "
        f"served, batch 1, 1 thread, p99 {cell(document['single_as_served_p99_ms'])} ms (the "
        "sentences are of mixed length).\n"
    )
    if document["half_load"]:
        lines.append("Open loop at half of that throughput, JSON:\n")
        lines.append(
            "| arrivals | sent/s | p50 ms | p99 ms | p99 / median of a single execution "
            "| p99 / its p99 as served | failed |"
        )
        lines.append("|---|---|---|---|---|---|---|")
    for arrivals, load in document["half_load"].items():
        figures = HALF_LOAD
        row = [arrivals, *(cell(load[figure]) for figure in figures), str(load["failed"])]
        lines.append("| " + " | ".join(row) + " |")
    if document["left_out"]:
        lines.append(f"\nLeft out: penstock: {document['left_out'].splitlines()[-1]}")
    lines.append("\nThe floor's loops, sentences/s in one short trial each:\n")
    lines += [f"- {choice}: {rate:.0f}" for choice, rate in document["trials"].items()]
    return "\n".join(lines) + "\n"


def run_compute(given: argparse.Namespace, settings: Settings, folder: Path) -> bool:
    """Run the compute workload and write its files; False when it, or Penstock, was left out."""
    try:
        workload = ComputeWorkload(settings, folder)
    except FileNotFoundError as error:
        print(f"LEFT OUT compute: {error}", flush=True)
        return False
    suffix = "-quick" if given.quick else ""
    document: dict = {
        **machine.heading_fields(f"{given.name or 'compute'}{suffix}", "compute"),
        "settings": settings.as_json(),
        "how": settings.in_words(),
    }
    workload.run()
    document["arms"] = summarise(workload.floor, workload.served)
    document["single_ms"] = spread([one["single_ms"] for one in workload.floor])
    document["single_as_served_p99_ms"] = spread(
        [one["single_as_served_p99_ms"] for one in workload.floor]
    )
    document["half_load"] = half_load(workload.served) if workload.served else {}
    document["floor_choice"] = workload.floor[0]["choice"]
    document["versions"] = workload.versions()
    document["left_out"] = workload.left_out
    document["trials"] = workload.trials
    document["rounds"] = {"floor": workload.floor, "penstock": workload.served}
    write_result(document, compute_markdown)
    return workload.left_out is None
