"""What one small REST request costs inside the server, and what telemetry's part of it is.

No sockets: the ASGI application is called with a ready body, so the figure is the server's own
CPU time per request and the engine's. Arms are interleaved: all of it, and all of it but the
counting (``ModelStats`` replaced by one that does nothing).

Run: ``python -m benchmarks.micro_path [--rounds 15] [--requests 4000]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.machine import describe
from benchmarks.places import RESULTS, digits_repository
from penstock.app.build import Assembly, build
from penstock.app.settings import Settings
from penstock.core.ids import VersionChoice
from penstock.telemetry.logs import configure
from penstock.telemetry.stats import ModelStats

_BODY = json.dumps(
    {"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}
).encode()
_SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v2/models/digits/infer",
    "headers": [
        (b"host", b"127.0.0.1:8080"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_BODY)),
    ],
}


class NoStats(ModelStats):
    """Counts nothing."""

    def executed(self, *args: Any) -> None:
        """Do nothing."""

    def answered(self, *args: Any) -> None:
        """Do nothing."""


async def _ready(assembly: Assembly) -> None:
    await assembly.source.wait_quiet(10)
    await assembly.service.manager.wait_loaded()


async def _measure_us(assembly: Assembly, requests: int) -> float:
    """CPU microseconds per request of this process."""
    message = {"type": "http.request", "body": _BODY, "more_body": False}
    sent: list[Any] = []

    async def receive() -> Any:
        return message

    async def send(part: Any) -> None:
        sent.append(part)

    started = time.process_time()
    for _ in range(requests):
        sent.clear()
        await assembly.http_app(dict(_SCOPE), receive, send)
    elapsed = time.process_time() - started
    if sent[0]["status"] != 200:
        raise RuntimeError(f"expected 200, got {sent}")
    return elapsed / requests * 1e6


async def _run(rounds: int, requests: int) -> dict[str, Any]:
    assembly = build([str(digits_repository())], Settings(), configure("human", "warning"))
    source = asyncio.create_task(assembly.source.run(assembly.control))
    await asyncio.sleep(0)
    await _ready(assembly)
    scheduler: Any = assembly.service.manager.servable("digits", VersionChoice())
    arms = {"all": scheduler.stats, "no telemetry": NoStats("digits", 0)}
    figures: dict[str, list[float]] = {arm: [] for arm in arms}
    await _measure_us(assembly, 500)
    for _ in range(rounds):
        for arm, stats in arms.items():
            scheduler.stats = stats
            figures[arm].append(await _measure_us(assembly, requests))
    source.cancel()
    medians = {arm: statistics.median(values) for arm, values in figures.items()}
    ratios = [a / b - 1 for a, b in zip(figures["all"], figures["no telemetry"], strict=True)]
    return {
        "machine": describe(),
        "rounds": rounds,
        "requests": requests,
        "us_per_request": medians,
        "telemetry_share_ratio": statistics.median(ratios),
        "all_figures": figures,
    }


def main() -> None:
    """Measure, print and write ``micro_path.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=4000)
    options = parser.parse_args()
    document = uvloop.run(_run(options.rounds, options.requests))
    Path(RESULTS / "micro_path.json").write_text(json.dumps(document, indent=1) + "\n")
    for arm, value in document["us_per_request"].items():
        print(f"{arm}: {value:.1f} us of CPU per request")
    print(f"telemetry: {document['telemetry_share_ratio']:.1%} of the path")


if __name__ == "__main__":
    main()
