"""What the author endpoints cost with 10,000 and with 1,000,000 stored predictions.

``python -m apps.tweet_sentiment.benchmarks.authors``: the service in a process of its own over an
SQLite store, 1,000 authors and 60 days in both sizes; one keep-alive connection, one request after
the other; ``/livez`` is the floor; ``service_cpu_ms`` is the service's own time for a request,
whatever else the machine does. Prints JSON; exits with 1 where a p99 is not under 5 ms.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from apps.tweet_sentiment.benchmarks.load import latencies_ms, summary
from apps.tweet_sentiment.board import DAY_S
from apps.tweet_sentiment.ledger import Ledger
from apps.tweet_sentiment.parts import open_store
from apps.tweet_sentiment.process import Running, running
from apps.tweet_sentiment.record import Record, encode, tweet_key
from penstock.stores.backend import Item
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions

SIZES = (10_000, 1_000_000)
NUM_AUTHORS = 1_000
NUM_DAYS = 60
NUM_REQUESTS = 2_000
LIMIT_MS = 5.0
MODEL = "tweet-sentiment"
_END_S = 1_767_225_600  # 2026-01-01T00:00:00Z
_FRAME = "since=2025-11-02T00:00:00Z&until=2026-01-01T00:00:00Z"
_BATCH = 5_000


def main() -> int:
    """Measure; returns the exit status."""
    results = {str(size): _measure(size) for size in SIZES}
    sys.stdout.write(json.dumps(results, indent=2) + "\n")
    arms = [arm for result in results.values() for arm in result["arms"].values()]
    return 0 if all(arm["p99_ms"] < LIMIT_MS for arm in arms) else 1


def _measure(size: int) -> dict[str, dict[str, dict[str, float]]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.jsonl").touch()
        url = f"sqlite:///{folder / 'store.db'}"
        started = time.perf_counter()
        asyncio.run(_fill(url, size))
        filled_s = time.perf_counter() - started
        started = time.perf_counter()
        with running(folder, store_url=url, archive_path=folder / "empty.jsonl") as service:
            ready_s = time.perf_counter() - started
            arms = {arm: _arm(service, paths) for arm, paths in _arms().items()}
            service.stop()
    seconds = {"seconds": {"fill": round(filled_s, 1), "start": round(ready_s, 1)}}
    return {"arms": arms, **seconds}  # type: ignore[dict-item]


def _arm(service: Running, paths: list[str]) -> dict[str, float]:
    process = psutil.Process(service.process.pid)
    before = process.cpu_times()
    took_ms = asyncio.run(latencies_ms(service.url, paths))
    after = process.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return {**summary(took_ms)._asdict(), "service_cpu_ms": round(cpu_s * 1e3 / len(paths), 3)}


def _arms() -> dict[str, list[str]]:
    numbers = random.Random(1)  # noqa: S311 - a benchmark
    names = [f"author_{numbers.randrange(NUM_AUTHORS)}" for _ in range(NUM_REQUESTS)]
    sentiment = "/api/v1/authors/{}/sentiment?{}"
    last = "since=2025-12-25T00:00:00Z&until=2026-01-01T00:00:00Z&bucket=hour"
    return {
        "floor": ["/livez"] * NUM_REQUESTS,
        "sentiment 60 days": [sentiment.format(name, _FRAME) for name in names],
        "sentiment 168 hours": [sentiment.format(name, last) for name in names],
        **{
            f"top {sort}, 60 days": [f"/api/v1/authors/top?{_FRAME}&sort={sort}"] * NUM_REQUESTS
            for sort in ("active", "positive", "negative")
        },
        "top active, odd hours": [
            "/api/v1/authors/top?since=2025-11-02T05:00:00Z&until=2025-12-31T17:00:00Z"
        ]
        * NUM_REQUESTS,
    }


async def _fill(url: str, size: int) -> None:
    """Write predictions as the service does: the prediction, its line, its counters."""
    backend = open_store(url)
    store = PredictionStore(backend, PredictionStoreOptions(ttl_s=None))
    ledger = Ledger(store, MODEL)
    for first in range(0, size, _BATCH):
        records = list(_records(first, min(_BATCH, size - first)))
        await backend.set_many(
            [Item(tweet_key(MODEL, 1, r.tweet_id), encode(r)) for r in records], only_new=True
        )
        await backend.set_many(
            [item for record in records for item in ledger.items(record)], only_new=True
        )
    await store.close()


def _records(first: int, count: int) -> Iterator[Record]:
    numbers = random.Random(first)  # noqa: S311 - a benchmark
    for number in range(first, first + count):
        scores = (numbers.random(), numbers.random(), numbers.random())
        total = sum(scores)
        negative, neutral, positive = (score / total for score in scores)
        yield Record(
            label=scores.index(max(scores)),
            scores=(negative, neutral, positive),
            tweet_id=str(number),
            author=f"author_{number if number < NUM_AUTHORS else numbers.randrange(NUM_AUTHORS)}",
            created_s=_END_S - 1 - numbers.randrange(NUM_DAYS * DAY_S),
            text="A tweet of usual length, which says this and that about a thing or two.",
        )


if __name__ == "__main__":
    sys.exit(main())
