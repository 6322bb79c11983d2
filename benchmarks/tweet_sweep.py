"""Which settings serve the tweet model best: instances, threads, batch size, rows of one run.

``python -m benchmarks.tweet_sweep`` serves the model once for each combination, one tweet a
request, prints tweets/s and p99 of each, names the best and writes
benchmarks/results/tweet_sweep.json. What is not varied stays as in the model's own model.yaml.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.tweet_penstock import TweetPenstock
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.percentiles import spread
from benchmarks.places import RESULTS, ROOT, without_root
from benchmarks.report import cell
from benchmarks.tweet_loads import expect_good
from benchmarks.tweet_texts import load_tweets, v2_request

MODEL = ROOT / "models" / "tweet-sentiment"


class Choice(NamedTuple):
    """One combination; `rows_per_run` None: the model has no such option."""

    instances: int
    threads: int
    max_batch_size: int
    rows_per_run: int | None

    def manifest(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return the model's `own` manifest with this choice in it."""
        options = {**own.get("runtime_options", {}), "threads": self.threads}
        if self.rows_per_run is not None:
            options["rows_per_run"] = self.rows_per_run
        instances = {
            **own.get("instances", {}),
            "count": self.instances,
            "threads_per_instance": self.threads,
        }
        return {
            **own,
            "max_batch_size": self.max_batch_size,
            "instances": instances,
            "runtime_options": options,
        }


class Sweep:
    """Serves copies of a model, each with its choice, and keeps their figures."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._given = given
        self._folder = folder
        self._own: dict[str, Any] = yaml.safe_load((given.model / "model.yaml").read_text())
        has_rows = "rows_per_run" in self._own.get("runtime_options", {})
        rows = given.rows if has_rows else [None]
        self.choices = [
            Choice(*values)
            for values in itertools.product(given.instances, given.threads, given.batches, rows)
            if values[3] is None or values[3] <= values[2]
        ]
        requests = [v2_request(given.model.name, [tweet]) for tweet in load_tweets()]
        self._requests = write_requests(folder / "requests", requests)
        self.found: dict[Choice, dict[int, list[dict[str, float]]]] = {}
        self.failed: dict[Choice, str] = {}

    def run(self) -> None:
        """Measure all choices in turns, `rounds` times, as far as the limit allows."""
        started, longest = time.monotonic(), 0.0
        for number in range(self._given.rounds):
            order = self.choices[::-1] if number % 2 else self.choices
            for at, choice in enumerate(order):
                begun = time.monotonic()
                if begun - started + longest > self._given.limit:
                    left = len(order) - at
                    print(f"round {number + 1}: {left} choices left out, the time is over")
                    return
                if choice not in self.failed:
                    self._measure(choice)
                longest = max(longest, time.monotonic() - begun)

    def _measure(self, choice: Choice) -> None:
        arm = TweetPenstock(self._copy(choice), self._folder / "server")
        try:
            arm.start()
            arm.wait_ready()
            run_wrk(arm.http_port, self._requests, 32, 1)
            for connections in self._given.connections:
                load = expect_good(
                    "penstock",
                    run_wrk(arm.http_port, self._requests, connections, self._given.duration),
                )
                loads = self.found.setdefault(choice, {})
                loads.setdefault(connections, []).append(load)
                figures = f"{load['req_s']:.0f} tweets/s, p99 {load['p99_ms']:.1f} ms"
                print(f"{choice}: {connections} connections: {figures}", flush=True)
        except (ArmError, LoadError) as error:
            self.failed[choice] = without_root(str(error))
            print(f"LEFT OUT {choice}: {error}", flush=True)
        finally:
            arm.stop()

    def _copy(self, choice: Choice) -> Path:
        """Return a model folder of the same name: other manifest, the same files by link."""
        name = "-".join(str(value) for value in choice)
        copy: Path = self._folder / name / self._given.model.name
        copy.mkdir(parents=True, exist_ok=True)
        for source in self._given.model.iterdir():
            target = copy / source.name
            if source.name != "model.yaml" and not target.exists():
                target.symlink_to(source)
        (copy / "model.yaml").write_text(yaml.safe_dump(choice.manifest(self._own)))
        return copy

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each choice that answered, most tweets/s first.

        Sorted by the mean over the connection counts of the share of each count's best.
        """
        counts = self._given.connections
        whole = {c: f for c, f in self.found.items() if set(f) == set(counts)}
        rows: list[dict[str, Any]] = [
            {
                **choice._asdict(),
                "loads": {
                    str(count): {
                        "tweets_s": spread([load["req_s"] for load in found[count]]),
                        "p99_ms": spread([load["p99_ms"] for load in found[count]]),
                    }
                    for count in counts
                },
            }
            for choice, found in whole.items()
        ]
        for count in map(str, counts):
            best = max((row["loads"][count]["tweets_s"]["median"] for row in rows), default=1.0)
            for row in rows:
                share = row["loads"][count]["tweets_s"]["median"] / best / len(counts)
                row["score"] = row.get("score", 0.0) + share
        return sorted(rows, key=lambda row: -row["score"])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's values; exits with a message on a wrong one."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's folder")
    parser.add_argument("--instances", type=numbers, default=[1, 2], help="default 1,2")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="default 1,2")
    parser.add_argument("--batches", type=numbers, default=[16, 32, 64], help="default 16,32,64")
    parser.add_argument("--rows", type=numbers, default=[4, 8, 16], help="default 4,8,16")
    parser.add_argument("--connections", type=numbers, default=[32, 128], help="default 32,128")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds a load")
    parser.add_argument("--limit", type=float, default=570.0, help="seconds for the whole run")
    parser.add_argument("--name", default="tweet_sweep", help="of the result file")
    given = parser.parse_args(arguments)
    given.model = given.model.resolve()
    if not (given.model / "model.yaml").exists():
        parser.error(f"no model.yaml in {given.model}")
    return given


def print_table(rows: list[dict[str, Any]], connections: list[int]) -> None:
    """Print the table, the best first, and name it."""
    head = [f"{count} conn. tweets/s | p99 ms" for count in connections]
    print("\n| instances | threads | max_batch_size | rows_per_run | " + " | ".join(head) + " |")
    print("|" + "---|" * (4 + 2 * len(connections)))
    for row in rows:
        cells = [str(row[name] or "-") for name in Choice._fields]
        for count in connections:
            load = row["loads"][str(count)]
            cells += [cell(load["tweets_s"]), cell(load["p99_ms"])]
        print("| " + " | ".join(cells) + " |")
    best = ", ".join(f"{name} {rows[0][name]}" for name in Choice._fields)
    print(f"\nbest: {best}")


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 0, 1 when a choice could not be served, 130 when interrupted."""
    given = parse(arguments)
    document = machine.heading_fields(given.name, "tweet_sweep")
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-sweep-") as folder:
            sweep = Sweep(given, Path(folder))
            sweep.run()
    except KeyboardInterrupt:
        print("interrupted; servers are stopped", file=sys.stderr)
        return 130
    rows = sweep.table()
    if not rows:
        print("no choice could be served", file=sys.stderr)
        return 1
    print_table(rows, given.connections)
    document |= {
        "settings": {"rounds": given.rounds, "duration_s": given.duration},
        "model": without_root(str(given.model)),
        "best": {name: rows[0][name] for name in Choice._fields},
        "choices": rows,
        "failed": {str(choice): why for choice, why in sweep.failed.items()},
    }
    path = RESULTS / f"{given.name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")
    return 1 if sweep.failed else 0


if __name__ == "__main__":
    sys.exit(main())
