"""What routing adds to a request of the digits model, inside the server.

No sockets: requests are given to the service that both doors ask, one at a time, so the figure
is CPU time of the router, the scheduler and the engine. The arms take turns in each round; what
an arm adds is its figure less that of "no route" in the same round. Counting what was seen is
part of it. Both variants are the same version, so that no arm pays for a second model; there are
50 callers, who come again.

Run: ``python -m benchmarks.routing [--rounds 100] [--requests 300]``. Writes
benchmarks/results/routing.json and .md; exit status 1 when two variants by a header add more
than 15 us.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import uvloop

from benchmarks import machine
from benchmarks.percentiles import spread
from benchmarks.places import digits_repository
from benchmarks.report import cell, heading, table, write_result
from penstock.app.build import build
from penstock.app.settings import Settings
from penstock.core.dtype import DType
from penstock.core.ids import LATEST
from penstock.core.messages import InferRequest
from penstock.core.tensor import Tensor
from penstock.router.route import Route, RoutingKey, Rule, Variant
from penstock.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.server.service import ModelService

MODEL = "digits"
MOST_US = 15.0
NO_ROUTE = "no route"
BY_HEADER = "two variants by a header"
COUNTED = "two variants by a header, counted for a rollout"
_USERS = 50


class Exposed:
    """Keeps the last exposure."""

    def __init__(self) -> None:
        self.last: tuple[str, str, str] | None = None

    def exposed(self, model: str, route: Route, variant: str, key: str, prediction_id: str) -> None:
        """Take note of one."""
        self.last = (variant, key, prediction_id)


def two_variants(version: int, **fields: Any) -> Route:
    """Return a route that shares requests out by the header x-user, 90 and 10 percent."""
    variants = (
        Variant(name="stable", version=version, weight=90.0),
        Variant(name="canary", version=version, weight=10.0),
    )
    return Route(variants=variants, key=RoutingKey(header="x-user"), salt="bench", **fields)


def arms(version: int) -> dict[str, tuple[str, Route | None]]:
    """Return by the arm's name which model has which route."""
    whole = Route(variants=(Variant(name="stable", version=version, weight=100.0),))
    rules = tuple(Rule(header="x-group", equals=f"{n}", variant="canary") for n in range(3))
    return {
        NO_ROUTE: (MODEL, None),
        "a route of another model": ("another", whole),
        "one variant": (MODEL, whole),
        BY_HEADER: (MODEL, two_variants(version)),
        COUNTED: (MODEL, two_variants(version, stage="bench")),
        "counted, behind three rules": (MODEL, two_variants(version, stage="b", rules=rules)),
        "counted, and exposures of an experiment": (
            MODEL,
            two_variants(version, stage="bench", experiment="bench"),
        ),
    }


def requests(count: int) -> Iterator[InferRequest]:
    """Make requests of one row, from users in turn, each when it is asked for, as a door does."""
    pixels = Tensor("pixels", DType.FP32, np.full((1, 64), 0.5, np.float32))
    for number in range(count):
        user = b"user-%d" % (number % _USERS)
        yield InferRequest(MODEL, (pixels,), headers={b"x-user": user})


async def measure_us(service: ModelService, count: int) -> float:
    """CPU microseconds per request of this process; each request is a turn of the event loop."""
    started = time.process_time()
    for request in requests(count):
        await service.infer(request)
        await asyncio.sleep(0)
    service.routes.counts(MODEL)  # the last answers are counted then
    return (time.process_time() - started) / count * 1e6


async def measure(rounds: int, count: int) -> dict[str, list[float]]:
    """Measure all arms in turn, in each round; round n starts with another arm than n-1."""
    assembly = build([str(digits_repository())], Settings(), configure("human", "warning"))
    service, table_ = assembly.service, assembly.service.routes
    table_.exposures = Exposed()
    source = asyncio.create_task(assembly.source.run(assembly.control))
    await asyncio.sleep(0)
    await assembly.source.wait_quiet(10)
    await service.manager.wait_loaded()
    gc.collect()
    gc.freeze()  # as a server does when it has started
    plan = list(arms(service.model(MODEL, LATEST).id.version).items())
    found: dict[str, list[float]] = {name: [] for name, _ in plan}
    for number in range(-1, rounds):
        turn = number % len(plan)
        for name, (model, route) in plan[turn:] + plan[:turn]:
            table_.set(model, route)
            taken_us = await measure_us(service, count)
            table_.set(model, None)
            if number >= 0:  # the round before warms up
                found[name].append(taken_us)
    source.cancel()
    await asyncio.gather(source, return_exceptions=True)
    await service.manager.aclose(5)
    return found


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    rows = [
        [name, cell(document["us_per_request"][name]), cell(document["added_us"].get(name))]
        for name in document["us_per_request"]
    ]
    head = ["arm", "us of CPU a request", "of it added"]
    return "\n".join([heading(document), table(head, rows), ""])


def main() -> int:
    """Measure, print and write; 1: routing adds too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--requests", type=int, default=300)
    given = parser.parse_args()
    document = machine.heading_fields(
        "routing", "the digits classifier, one row, inside the server"
    )
    found = uvloop.run(measure(given.rounds, given.requests))
    document["settings"] = vars(given)
    document["how"] = (
        f"{given.rounds} rounds, arms in turn, {given.requests} requests each, one at a time, no "
        "sockets; what is added is the difference within each round"
    )
    document["rounds"] = found
    document["us_per_request"] = {name: spread(values) for name, values in found.items()}
    added = {
        name: spread([a - b for a, b in zip(values, found[NO_ROUTE], strict=True)])
        for name, values in found.items()
        if name != NO_ROUTE
    }
    document["added_us"] = added
    write_result(document, markdown, picture=None)
    for name, figure in added.items():
        print(f"{name}: {cell(figure)} us added")
    return int(added[BY_HEADER]["median"] > MOST_US)


if __name__ == "__main__":
    sys.exit(main())
