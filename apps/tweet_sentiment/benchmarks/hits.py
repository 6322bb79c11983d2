"""What the store is worth: a hit against an echo, and hits against misses.

``python -m apps.tweet_sentiment.benchmarks.hits``: the service in a process of its own with the
real model, over SQLite, and over Redis where ``REDIS_URL`` names one (it is not emptied: give it a
database of its own); every hit from the store, then with a minute's answers in memory. Latency:
one connection, hit and echo (``/livez``) in turns. Throughput: 32 connections, every tweet once
(misses), then again and again (hits, asked by wrk where it is installed). Prints JSON; exits with 1
where a hit is over 0.3 ms later than the echo (median) or hits are not 15 times the misses.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from apps.tweet_sentiment.benchmarks.load import latencies_ms, per_second, summary
from apps.tweet_sentiment.process import running
from apps.tweet_sentiment.settings import HERE
from apps.tweet_sentiment.sources.archive import open_archive

NUM_TWEETS = 2_000
NUM_LATENCIES = 4_000
CONNECTIONS = 32
HIT_ROUNDS = 5
MAX_LATER_MS = 0.3
MIN_RATIO = 15.0
_LUA = """
local paths, at = {{ {paths} }}, 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
"""


def main() -> int:
    """Measure; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        stores = {"sqlite": f"sqlite:///{Path(name) / 'store.db'}"}
        if redis := os.environ.pop("REDIS_URL", ""):
            stores["redis"] = redis
        results = {
            f"{store}, {max_recent} in memory": _measure(Path(name), url, max_recent)
            for store, url in stores.items()
            for max_recent in (0, 10_000)
        }
    sys.stdout.write(json.dumps(results, indent=2) + "\n")
    good = [
        result["hit_later_ms"] <= MAX_LATER_MS and result["hits_to_misses"] >= MIN_RATIO
        for result in results.values()
    ]
    return 0 if all(good) else 1


def _measure(folder: Path, url: str, max_recent: int) -> dict[str, float]:
    numbers = range(1 + max_recent, 1 + max_recent + NUM_TWEETS)  # no arm's tweets are another's
    _write_archive(folder / "tweets.jsonl", numbers)
    paths = [f"/api/v1/inference?tweetUrl=https://x.com/ann/status/{n}" for n in numbers]
    settings = {
        "archive_path": folder / "tweets.jsonl",
        "predict_on_start": 0,
        "max_recent": max_recent,
    }
    with running(folder, redis_url=url, **settings) as service:
        misses = asyncio.run(per_second(service.url, paths, CONNECTIONS))
        hits = _hits_per_s(service.url, paths, folder)
        turns = [path for hit in paths * 2 for path in ("/livez", hit)][: 2 * NUM_LATENCIES]
        took = asyncio.run(latencies_ms(service.url, turns))
        service.stop()
    echo, hit = summary(took[::2]), summary(took[1::2])
    return {
        "misses_per_s": round(misses),
        "hits_per_s": round(hits),
        "hits_to_misses": round(hits / misses, 1),
        "echo_p50_ms": echo.p50_ms,
        "hit_p50_ms": hit.p50_ms,
        "hit_p99_ms": hit.p99_ms,
        "hit_later_ms": round(hit.p50_ms - echo.p50_ms, 3),
    }


def _hits_per_s(url: str, paths: list[str], folder: Path) -> float:
    wrk = shutil.which("wrk")
    if wrk is None:
        return asyncio.run(per_second(url, paths * HIT_ROUNDS, CONNECTIONS))
    script = folder / "paths.lua"
    script.write_text(_LUA.format(paths=",".join(f"'{path}'" for path in paths)))
    command = [wrk, "-t1", f"-c{CONNECTIONS}", "-d5s", "-s", str(script), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    if "Non-2xx" in output:
        raise RuntimeError(output)
    return float(output.split("Requests/sec:")[1].split()[0])


def _write_archive(path: Path, numbers: Iterable[int]) -> None:
    """The project's tweets, again and again, each time with another ending."""
    tweets = open_archive(HERE / "archive" / "tweets.jsonl").newest(NUM_TWEETS)
    rows = [
        {
            "id": str(number),
            "author": tweets[number % len(tweets)].author,
            "createdAt": "2025-11-21T12:00:00Z",
            "text": f"{tweets[number % len(tweets)].text} ({number})",
        }
        for number in numbers
    ]
    path.write_text("\n".join(map(json.dumps, rows)))


if __name__ == "__main__":
    sys.exit(main())
