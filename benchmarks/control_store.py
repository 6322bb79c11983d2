"""What each call of a control store takes: a new SQLite file, and servers whose URLs are given.

One caller, one call at a time, in a round of all calls; medians and 99th percentiles over all
rounds. Writes in the stores that it is given, under subjects that begin with ``benchmark/``.

Run: ``python -m benchmarks.control_store [--rounds 500] [redis://... postgresql://... ...]``
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from benchmarks.machine import heading_fields
from benchmarks.percentiles import percentile
from benchmarks.places import RESULTS
from penstock.stores.control_store import ControlStore, Outcome, ServingProcess, Wish
from penstock.stores.open_control_store import control_file_url, open_control_store

_SUBJECT = "benchmark/m"
_COUNTS = bytes(2000)
"""About what a process tells of a canary."""

_ME = ServingProcess("benchmark", 1)


def _calls(store: ControlStore, revision: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """What is measured; ``revision`` is one that others have written a while ago."""
    numbers = itertools.count(1)
    return {
        "version": store.version,
        "desired, nothing new": lambda: store.desired(1 << 40),
        "desired, all": store.desired,
        "history of a subject": lambda: store.history(_SUBJECT),
        "change": lambda: store.change(Wish(_SUBJECT, {"n": next(numbers)}, "benchmark", "why")),
        "change, overtaken": lambda: store.change(Wish(_SUBJECT, 0), expected=1 << 40),
        "report": lambda: store.report(_ME),
        "report of an outcome": lambda: store.report(_ME, [Outcome(_SUBJECT, revision)]),
        "standings": lambda: store.standings(_SUBJECT, 5),
        "publish": lambda: store.publish(_ME.id, _SUBJECT, _COUNTS),
        "published": lambda: store.published(_SUBJECT),
        "acquire": lambda: store.acquire(_SUBJECT, _ME.id, 3),
    }


async def measure(url: str, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds of each call: median and 99th percentile."""
    store = open_control_store(url, is_new=True)
    try:
        revision = await store.change(Wish(_SUBJECT, None)) or 0
        calls = _calls(store, revision)
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                started = time.perf_counter()
                await call()
                taken[name].append((time.perf_counter() - started) * 1e6)
        await store.leave(_ME.id)
        await store.release(_SUBJECT, _ME.id)
    finally:
        await store.close()
    return {
        name: {"p50_us": percentile(times, 0.5), "p99_us": percentile(times, 0.99)}
        for name, times in ((name, sorted(times)) for name, times in taken.items())
    }


async def _run(urls: Sequence[str], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    with tempfile.TemporaryDirectory() as folder:
        found = {"sqlite": await measure(control_file_url(Path(folder) / "control.db"), rounds)}
    for url in urls:
        found[url.partition(":")[0]] = await measure(url, rounds)
    return found


def main() -> None:
    """Measure, print and write ``control_store.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs="*", help="control stores on servers, one of each kind")
    parser.add_argument("--rounds", type=int, default=500)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_run(options.urls, options.rounds))
    fields = heading_fields("control_store", "one call at a time")
    document = {**fields, "rounds": options.rounds, "calls": found}
    (RESULTS / "control_store.json").write_text(json.dumps(document, indent=1) + "\n")
    for name in next(iter(found.values())):
        cells = [f"{kind} {calls[name]['p50_us']:7.0f} us" for kind, calls in found.items()]
        print(f"{name:24}", "   ".join(cells))


if __name__ == "__main__":
    main()
