"""What a stored prediction costs, beside an echo of the same Redis and beside computing it.

Latency: one caller, one key at a time, each of many keys once a round, by
``PredictionStore.get_or_compute`` on memory, SQLite and Redis on loopback; the echo is a PING
through the same connection pool. Throughput: 64 callers at once, hits against misses; a miss is
computed on one thread for ``--model-ms`` without the interpreter's lock (a stand-in for a model:
1.4 ms is what MiniLM-L6 int8 took per text on the project's machine), or for nothing, and is
written in the background.
Choices: what grouping lookups is worth (the same lookups, each a GET of its own by redis-py), and
what the thread of SQLite's lookups costs (the same statement on the event loop).

Arms take turns within each round; round 2 begins with another arm than round 1. Needs redis-server.

Run: ``python -m benchmarks.store [--rounds 9] [--keys 400]``
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis.asyncio
import uvloop

from benchmarks.machine import heading_fields
from benchmarks.places import RESULTS
from benchmarks.processes import ServerProcess, free_port
from penstock.stores import Item, PredictionStore, open_backend, prediction_key
from penstock.stores import sqlite_statements as sql

_CALLERS = 64
_VALUE = b"\x93\x02\xcb" + bytes(200)

Lookup = Callable[[str], Awaitable[object]]


class Bench:
    """The stores, their keys, and the figures so far.

    Not thread-safe. ``figures`` maps each group to each arm to one number per round.
    """

    def __init__(self, folder: Path, redis_port: int, keys: int, model_s: float) -> None:
        urls = {
            "memory": "memory://",
            "sqlite": f"sqlite:///{folder}/store.db",
            "redis": f"redis://127.0.0.1:{redis_port}/0",
        }
        self.stores = {n: PredictionStore(open_backend(u), name=n) for n, u in urls.items()}
        self.keys = [prediction_key("bench", 1, b"%d" % n) for n in range(keys)]
        self.model_s = model_s
        self.plain = redis.asyncio.Redis(port=redis_port)
        self.database = str(folder / "store.db")
        self.fresh = itertools.count()
        self.late = 0
        self.model = ThreadPoolExecutor(1)
        self.figures: dict[str, dict[str, list[float]]] = {}

    async def fill(self) -> None:
        """Keep every key in every store."""
        for store in self.stores.values():
            store.put([Item(key, _VALUE) for key in self.keys])
            if await store.drain(10) or await store.get(self.keys[:1]) != [_VALUE]:
                raise RuntimeError("the store does not keep what it is given")

    def note(self, group: str, arm: str, value: float) -> None:
        """Keep one round's figure."""
        self.figures.setdefault(group, {}).setdefault(arm, []).append(value)

    def latency_arms(self) -> dict[str, Lookup]:
        """Each takes a key that is there."""
        database = sql.connect(self.database, max_bytes=0)

        async def on_the_loop(key: str) -> None:
            sql.get_many(database, [key], time.time_ns() // 1_000_000)

        arms: dict[str, Lookup] = {"echo": lambda _: self.stores["redis"].backend.ping()}
        for name, store in self.stores.items():
            arms[name] = lambda key, store=store: store.get_or_compute([key], self._late)
        arms["redis-py GET"] = self.plain.get
        arms["sqlite on the event loop"] = on_the_loop
        return arms

    def throughput_arms(self) -> dict[str, Callable[[], Awaitable[float]]]:
        """Each gives lookups per second of many callers at once."""
        arms: dict[str, Callable[[], Awaitable[float]]] = {}
        for name, store in self.stores.items():

            async def hit(key: str, store: PredictionStore = store) -> None:
                await store.get_or_compute([key], self._late)

            async def free_miss(_: str, store: PredictionStore = store) -> None:
                await self._miss(store, 0)

            async def miss(_: str, store: PredictionStore = store) -> None:
                await self._miss(store, self.model_s)

            arms[f"{name} hits"] = lambda hit=hit: self._crowd(hit, 20)
            arms[f"{name} misses, model free"] = lambda miss=free_miss: self._crowd(miss, 5)
            arms[f"{name} misses"] = lambda miss=miss: self._crowd(miss, 2)
        arms["redis-py GETs"] = lambda: self._crowd(self.plain.get, 20)
        return arms

    async def _late(self, positions: Sequence[int]) -> list[bytes]:
        """A key is there, but was not got in time: counted, and told with the result."""
        self.late += len(positions)
        return [_VALUE] * len(positions)

    async def _miss(self, store: PredictionStore, model_s: float) -> None:
        async def compute(positions: Sequence[int]) -> list[bytes]:
            if model_s:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self.model, _work, model_s)
            return [_VALUE] * len(positions)

        await store.get_or_compute([f"fresh:{next(self.fresh)}"], compute)

    async def _crowd(self, lookup: Lookup, each: int) -> float:
        """Lookups per second; each caller begins elsewhere, so few ask for one key at once."""

        async def caller(start: int) -> None:
            for n in range(each):
                await lookup(self.keys[(start + n) % len(self.keys)])

        step = max(1, len(self.keys) // _CALLERS)
        started = time.perf_counter()
        await asyncio.gather(*(caller(n * step) for n in range(_CALLERS)))
        elapsed = time.perf_counter() - started
        for store in self.stores.values():
            await store.drain(10)
        return _CALLERS * each / elapsed


def _work(seconds: float) -> None:
    """Keep a core busy, the interpreter's lock released, as an engine does."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        hashlib.pbkdf2_hmac("sha256", b"p", b"s", 200)


async def _median_us(lookup: Lookup, keys: Sequence[str]) -> float:
    times = []
    for key in keys:
        started = time.perf_counter()
        await lookup(key)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


async def _run(folder: Path, redis_port: int, options: argparse.Namespace) -> Bench:
    bench = Bench(folder, redis_port, options.keys, options.model_ms / 1000)
    await bench.fill()
    latency, throughput = bench.latency_arms(), bench.throughput_arms()
    for number in range(-1, options.rounds):  # the first one warms up
        for name, lookup in _turned(latency, number):
            figure = await _median_us(lookup, bench.keys)
            if number >= 0:
                bench.note("median_us", name, figure)
        for name, measure in _turned(throughput, number):
            figure = await measure()
            if number >= 0:
                bench.note("per_second", name, figure)
    for store in bench.stores.values():
        await store.close()
    await bench.plain.aclose()
    return bench


def _turned(arms: dict[str, Any], number: int) -> list[tuple[str, Any]]:
    """The arms, beginning with another one each round."""
    items = list(arms.items())
    start = number % len(items)
    return items[start:] + items[:start]


def _summary(bench: Bench) -> dict[str, Any]:
    """Medians of the rounds, and of what matters of each round."""
    micros, rates = bench.figures["median_us"], bench.figures["per_second"]

    def ratio(one: list[float], other: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(one, other, strict=True))

    return {
        "median_us": {name: statistics.median(values) for name, values in micros.items()},
        "later_than_echo_us": {
            name: statistics.median(
                a - b for a, b in zip(micros[name], micros["echo"], strict=True)
            )
            for name in bench.stores
        },
        "per_second": {name: statistics.median(values) for name, values in rates.items()},
        "hits_per_miss": {
            name: ratio(rates[f"{name} hits"], rates[f"{name} misses"]) for name in bench.stores
        },
        "hits_that_came_too_late": bench.late,
        "store_errors": {
            name: {" ".join(key): count for key, count in store.stats.errors.items()}
            for name, store in bench.stores.items()
        },
        "grouped_per_single": ratio(rates["redis hits"], rates["redis-py GETs"]),
    }


def _print(summary: dict[str, Any]) -> None:
    for name, value in summary["median_us"].items():
        later = summary["later_than_echo_us"].get(name)
        print(f"{name}: {value:.1f} us" + (f", echo {later:+.1f} us" if later is not None else ""))
    for name, value in summary["per_second"].items():
        print(f"{name}, {_CALLERS} callers: {value:,.0f}/s")
    for name, value in summary["hits_per_miss"].items():
        print(f"{name}: hits at {value:.1f} times the rate of misses")
    print(f"hits that did not come in time: {summary['hits_that_came_too_late']}")
    for name, errors in summary["store_errors"].items():
        print(f"{name}: errors {errors or 'none'}")
    print(f"grouped lookups: {summary['grouped_per_single']:.1f} times the rate of single GETs")


def main() -> None:
    """Measure, print and write ``store.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--model-ms", type=float, default=1.4)
    options = parser.parse_args()
    binary, port = shutil.which("redis-server"), free_port()
    if binary is None:
        raise SystemExit("needs redis-server: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        command = [binary, "--port", str(port), "--save", "", "--dir", text]
        server = ServerProcess(command, folder / "redis.log")
        server.start()
        try:
            heading = heading_fields("store", "stored predictions")
            _wait_for(port)
            bench = uvloop.run(_run(folder, port, options))
        finally:
            server.stop()
    summary = _summary(bench)
    document = {**heading, **vars(options), **summary, "all_figures": bench.figures}
    Path(RESULTS / "store.json").write_text(json.dumps(document, indent=1) + "\n")
    _print(summary)


def _wait_for(port: int) -> None:
    client = redis.Redis(port=port)
    for _ in range(200):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            client.close()
            return
    raise SystemExit("redis-server does not answer")


if __name__ == "__main__":
    main()
