"""What one small REST request costs inside the server, and what telemetry's part of it is.

No sockets: a connection of the server is given the bytes of a request and gives those of its
answer, so the figure is the server's own CPU time per request and the engine's. Two loads: one
connection, and 32 whose requests come in one turn of the event loop. Arms are interleaved: all of
it, and all of it but the counting (``ModelStats`` replaced by one that does nothing).

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

import uvicorn
import uvloop

from benchmarks.machine import describe
from benchmarks.places import RESULTS, digits_repository
from penstock.app.build import Assembly, build
from penstock.app.settings import Settings
from penstock.core.ids import VersionChoice
from penstock.server.fast_lane import FastLane
from penstock.server.http_server import uvicorn_config
from penstock.telemetry.logs import configure
from penstock.telemetry.stats import ModelStats

_BODY = json.dumps(
    {"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}
).encode()
_REQUEST = (
    b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_LOADS = {"1 connection": 1, "32 connections": 32}


class _Client(asyncio.Transport):
    """The other end of a connection: it counts good answers."""

    def __init__(self) -> None:
        super().__init__()
        self.num_answers = 0

    def write(self, data: Any) -> None:
        """Take an answer."""
        if not data.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"expected 200, got {bytes(data[:200])!r}")
        self.num_answers += 1

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def resume_reading(self) -> None:
        """It never paused."""


class NoStats(ModelStats):
    """Counts nothing."""

    def executed(self, *args: Any) -> None:
        """Do nothing."""

    def answered(self, *args: Any) -> None:
        """Do nothing."""


async def _ready(assembly: Assembly) -> None:
    await assembly.source.wait_quiet(10)
    await assembly.service.manager.wait_loaded()


def _connect(assembly: Assembly, count: int) -> list[tuple[FastLane, _Client]]:
    config = uvicorn_config(assembly.http_app, backlog=1)
    config.load()
    state = uvicorn.Server(config).server_state
    connections = []
    for _ in range(count):
        connection, client = FastLane(config, state, {}), _Client()
        connection.connection_made(client)
        connections.append((connection, client))
    return connections


async def _measure_us(connections: list[tuple[FastLane, _Client]], requests: int) -> float:
    """CPU microseconds per request of this process."""
    turns = max(1, requests // len(connections))
    started = time.process_time()
    for _ in range(turns):
        wanted = connections[0][1].num_answers + 1
        for connection, _client in connections:
            connection.data_received(_REQUEST)
        while any(c.num_answers < wanted for _, c in connections):  # noqa: ASYNC110  # by turns
            await asyncio.sleep(0)
    return (time.process_time() - started) / turns / len(connections) * 1e6


async def _run(rounds: int, requests: int) -> dict[str, Any]:
    assembly = build([str(digits_repository())], Settings(), configure("human", "warning"))
    source = asyncio.create_task(assembly.source.run(assembly.control))
    await asyncio.sleep(0)
    await _ready(assembly)
    scheduler: Any = assembly.service.manager.servable("digits", VersionChoice())
    arms = {"all": scheduler.stats, "no telemetry": NoStats("digits", 0)}
    loads = {name: _connect(assembly, count) for name, count in _LOADS.items()}
    figures: dict[str, dict[str, list[float]]] = {load: {arm: [] for arm in arms} for load in loads}
    for connections in loads.values():
        await _measure_us(connections, 500)
    for _ in range(rounds):
        for load, connections in loads.items():
            for arm, stats in arms.items():
                scheduler.stats = stats
                figures[load][arm].append(await _measure_us(connections, requests))
    source.cancel()
    return {
        "machine": describe(),
        "rounds": rounds,
        "requests": requests,
        "loads": {load: _summary(of_load) for load, of_load in figures.items()},
    }


def _summary(figures: dict[str, list[float]]) -> dict[str, Any]:
    pairs = zip(figures["all"], figures["no telemetry"], strict=True)
    return {
        "us_per_request": {arm: statistics.median(values) for arm, values in figures.items()},
        "telemetry_share_ratio": statistics.median(a / b - 1 for a, b in pairs),
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
    for load, found in document["loads"].items():
        for arm, value in found["us_per_request"].items():
            print(f"{load}, {arm}: {value:.1f} us of CPU per request")
        print(f"{load}: telemetry is {found['telemetry_share_ratio']:.1%} of the path")


if __name__ == "__main__":
    main()
