"""What a batch job in the same server costs those who are online: p99 with it, divided by p99
without.

One server with two models. In each round each model is asked by an open loop at half of what the
server can do, with a batch job of the tweet model running meanwhile and without one, in turn first.
The job was asked for over HTTP, with the settings that jobs have by default.

Writes benchmarks/results/jobs_beside.json and .md. Exit status 1 when a request failed, the job
stood still, or the median ratio of a load passes `--limit`.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.load.open_loop import run_open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.percentiles import spread
from benchmarks.places import ROOT, newest_onnx, without_root
from benchmarks.report import cell, heading, table, write_result
from benchmarks.tweet_texts import load_tweets, v2_request

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = ROOT / "models"
TWEETS = "tweet-sentiment"
CONNECTIONS = 32
JOB_ROWS = 2_000_000
PATIENCE_S = 60.0


class Jobs:
    """The server's jobs: one input that takes longer than any load."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self._count = 0
        tweets = load_tweets()
        with (folder / "tweets.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["text"])
            rows.writerows([tweets[at % len(tweets)]] for at in range(JOB_ROWS))

    def begin(self) -> str:
        """Have a job run, and return its id once it predicts.

        Raises ArmError when it does not.
        """
        self._count += 1
        output = self._folder / f"out-{self._count}"
        job = {
            "model": TWEETS,
            "input": {"format": "csv", "path": str(self._folder / "tweets.csv")},
            "output": {"format": "jsonl", "path": str(output)},
            "split_rows": 20_000,
        }
        job_id = self._ask("POST", "", job)["id"]
        self._wait(job_id, lambda told: told["progress"]["rows"] > 0)
        return job_id

    def rows(self, job_id: str) -> int:
        """Return how many rows it has predicted; ArmError when it does not run any more."""
        told = self._ask("GET", f"/{job_id}")
        if told["state"] != "running":
            raise ArmError(f"the job is {told['state']}: {told['error']}")
        return told["progress"]["rows"]

    def end(self, job_id: str) -> None:
        """Cancel it, and wait until it is gone."""
        self._ask("POST", f"/{job_id}/cancel")
        self._wait(job_id, lambda told: told["state"] == "cancelled")
        self._ask("DELETE", f"/{job_id}")

    def _wait(self, job_id: str, is_so: Callable[[dict], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not is_so(told := self._ask("GET", f"/{job_id}")):
            if time.monotonic() > until or told["state"] in ("done", "failed"):
                raise ArmError(f"the job is {told['state']}: {told['error']}")
            time.sleep(0.1)

    def _ask(self, method: str, path: str, value: object = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            body = None if value is None else json.dumps(value)
            connection.request(method, f"/v2/jobs{path}", body)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise ArmError(f"{method} /v2/jobs{path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


class Loads:
    """Open loops at half of what the server can do of each model."""

    def __init__(self, arm: Penstock, folder: Path, given: argparse.Namespace) -> None:
        self._port = arm.http_port
        self._duration_s = given.duration
        tweets = [v2_request(TWEETS, [text]) for text in load_tweets()[:500]]
        self._folders = {
            "tweet-sentiment": write_requests(folder / "tweets", tweets),
            "digits": write_requests(folder / "digits", [arm.request()]),
        }
        self.names = [*self._folders]
        self.capacity = {name: self._closed(name) for name in self.names}
        self.rates = {name: given.share * found for name, found in self.capacity.items()}

    def run(self, name: str) -> dict[str, float]:
        """Return what the load of a model found."""
        return run_open_loop(self._port, self._folders[name], self.rates[name], self._duration_s)

    def _closed(self, name: str) -> float:
        runs = [
            run_wrk(self._port, self._folders[name], CONNECTIONS, self._duration_s)["req_s"]
            for _ in range(2)
        ]
        return runs[-1]


def one_round(jobs: Jobs, loads: Loads, *, job_first: bool) -> dict[str, dict]:
    """Run each load with a job and without one; return both by load."""
    found: dict[str, dict] = {name: {} for name in loads.names}
    for has_job in (job_first, not job_first):
        job_id = jobs.begin() if has_job else ""
        for name in loads.names:
            before, started = (jobs.rows(job_id) if has_job else 0), time.monotonic()
            result = loads.run(name)
            if has_job:
                took_s = time.monotonic() - started
                result["job_rows_s"] = (jobs.rows(job_id) - before) / took_s
            found[name]["with" if has_job else "without"] = result
        if has_job:
            jobs.end(job_id)
    for both in found.values():
        both["p99_ratio"] = both["with"]["p99_ms"] / both["without"]["p99_ms"]
    return found


def figures(pairs: list[dict]) -> dict:
    """Return the figures of a load over the rounds."""
    return {
        "p99_ratio": spread([one["p99_ratio"] for one in pairs]),
        "p50_ratio": spread([one["with"]["p50_ms"] / one["without"]["p50_ms"] for one in pairs]),
        "p99_without_ms": spread([one["without"]["p99_ms"] for one in pairs]),
        "p99_with_ms": spread([one["with"]["p99_ms"] for one in pairs]),
        "req_s": spread([one["with"]["rate_sent"] for one in pairs]),
        "job_rows_s": spread([one["with"]["job_rows_s"] for one in pairs]),
        "failed": sum(one[side]["failed"] for one in pairs for side in ("with", "without")),
    }


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    head = ["online", "requests/s", "p99 ms without a job", "p99 ms with", "p99 with / without"]
    head += ["p50 with / without", "rows/s of the job meanwhile"]
    keys = ("req_s", "p99_without_ms", "p99_with_ms", "p99_ratio", "p50_ratio", "job_rows_s")
    rows = [
        [name, *(cell(found[key]) for key in keys)] for name, found in document["found"].items()
    ]
    failed = sum(found["failed"] for found in document["found"].values())
    return f"{heading(document)}\n{table(head, rows)}\n\n{failed} requests failed.\n"


def run(given: argparse.Namespace, folder: Path) -> dict:
    """Serve, load, stop; return the fields of the result.

    Raises ArmError when the server or a job does not run, LoadError when a load does not.
    """
    more = ["--set", f"jobs.folder={folder / 'jobs'}", "--set", f"jobs.roots={folder}"]
    more += given.penstock_arguments
    arm = Penstock(newest_onnx(MODELS / "digits"), folder / "penstock", MODELS, tuple(more))
    try:
        arm.start()
        arm.wait_ready()
        jobs, loads = Jobs(arm.http_port, folder), Loads(arm, folder, given)
        print(f"capacity: {loads.capacity}", flush=True)
        rounds = []
        for number in range(given.rounds):
            rounds.append(one_round(jobs, loads, job_first=bool(number % 2)))
            ratios = {name: round(both["p99_ratio"], 2) for name, both in rounds[-1].items()}
            print(f"round {number + 1}: {ratios}", flush=True)
        found = {name: figures([one[name] for one in rounds]) for name in rounds[0]}
        return {"capacity_req_s": loads.capacity, "found": found, "rounds": rounds}
    finally:
        arm.stop()


def main() -> int:
    """Entry point; returns 0, 1 when a request failed, a ratio is too large or nothing ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--duration", type=float, default=8.0, help="seconds a load")
    parser.add_argument("--share", type=float, default=0.5, help="of what the server can do")
    parser.add_argument("--limit", type=float, default=1.1, help="the largest median ratio")
    parser.add_argument("--name", default="jobs_beside")
    parser.add_argument("penstock_arguments", nargs="*", help="after --: more of penstock serve")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "online requests beside a batch job")
    document["settings"] = vars(given)
    document["how"] = f"{given.rounds} rounds, {given.duration:g} s a load at {given.share:.0%}"
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        try:
            document.update(run(given, Path(folder)))
        except (ArmError, LoadError, FileNotFoundError) as error:
            print(f"LEFT OUT penstock: {without_root(str(error))}", file=sys.stderr)
            return 1
    write_result(document, markdown, picture=None)
    for name, found in document["found"].items():
        print(f"{name}: p99 {cell(found['p99_ratio'])}, job {cell(found['job_rows_s'])} rows/s")
    worst = max(found["p99_ratio"]["median"] for found in document["found"].values())
    stood_still = any(found["job_rows_s"]["median"] <= 0 for found in document["found"].values())
    failed = sum(found["failed"] for found in document["found"].values())
    return 1 if failed or stood_still or worst > given.limit else 0


if __name__ == "__main__":
    sys.exit(main())
