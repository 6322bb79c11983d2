"""Drive: keeps a traffic splitter as a rollout wants it, and counts what Prometheus counted."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import PenstockError
from penstock.rollout.drivers.driver import Splitter, TrafficDriver, Weights
from penstock.rollout.outside.prometheus import ask
from penstock.rollout.outside.sources import AskPrometheus, Sleep
from penstock.rollout.plan import CANDIDATE
from penstock.rollout.reporter import Versions
from penstock.rollout.spec import PrometheusGate, RolloutSpec
from penstock.router.counts import StageCounts, VariantCounts
from penstock.router.route import Route

_log: Final = logging.getLogger("penstock.rollout")

_ALIKE_PERCENT = 0.01


class DriveOptions(msgspec.Struct, frozen=True):
    """How a Drive works.

    Attributes:
        prometheus_url: of the server that knows how many requests there were.
        requests_query: PromQL of the candidate's requests in this stage; ``{elapsed}`` stands for
            the seconds since it began.
        every_s: how often the splitter is looked at, in seconds.
    """

    prometheus_url: str
    requests_query: str
    every_s: float = 1.0


class Drive:
    """Stands where a server has its router: takes routes, and tells of requests and versions.

    By level: what the splitter is told is looked at again and again, so that a call that failed,
    and a weight that somebody changed by hand, are made good. A splitter that cannot be asked
    keeps what it has.

    Args:
        driver: of the splitter.
        spec: the plan.
        options: how it works.
        clock: where time comes from.
        ask_prometheus: asks for one value.
        sleep: waits for so many seconds.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        driver: TrafficDriver,
        spec: RolloutSpec,
        options: DriveOptions,
        *,
        clock: Clock | None = None,
        ask_prometheus: AskPrometheus = ask,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._driver = driver
        self._spec = spec
        self._options = options
        self._clock = clock or SystemClock()
        self._ask = ask_prometheus
        self._sleep = sleep
        self._route: Route | None = None
        self._requests = 0
        self._since_ns = 0
        self._is_ready = False
        self._kick = asyncio.Event()
        self._settled = asyncio.Event()
        self._runners: list[asyncio.Task[None]] = []
        self._fault = ""

    # What a RoutingBook needs

    def set(self, model: str, route: Route | None) -> None:
        """See ``Routes.set``; returns before the splitter has done it."""
        del model
        stage = "" if route is None else route.stage
        if self._route is None or self._route.stage != stage:
            self._requests, self._since_ns = 0, self._clock.monotonic_ns()
        self._route = route
        self._settled.clear()
        self._kick.set()

    def route(self, model: str) -> Route | None:
        """See ``Routes.route``."""
        del model
        return self._route

    def counts(self, model: str) -> StageCounts | None:
        """See ``Routes.counts``: only the candidate's requests are known."""
        del model
        if self._route is None:
            return None
        counted = VariantCounts(requests=self._requests)
        return StageCounts(self._route.stage, {CANDIDATE: counted})

    def versions(self, model: str) -> Versions:
        """Which versions the splitter can send requests to, as far as it says."""
        del model
        reference, candidate = self._spec.reference or 0, self._spec.candidate
        return Versions((reference, candidate) if self._is_ready else (reference,))

    # What it does

    def start(self) -> None:
        """Begin to drive."""
        self._runners = [
            asyncio.create_task(self._drive(), name="drive"),
            asyncio.create_task(self._count(), name="count requests"),
        ]

    async def close(self) -> None:
        """Drive no more; the splitter goes on as it is."""
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)

    async def wait_settled(self) -> None:
        """Return when the splitter was told what the last route says."""
        await self._settled.wait()

    async def _drive(self) -> None:
        while True:
            self._kick.clear()
            try:
                await self._look()
                if self._fault:
                    _log.info("the traffic splitter answers again")
                self._fault = ""
            except PenstockError as err:
                if err.message != self._fault:
                    _log.error("the traffic splitter keeps its weights: %s", err.message)
                self._fault = err.message
            await self._pause()

    async def _look(self) -> None:
        wanted = self._wanted()
        splitter = await self._driver.get()
        if bool(splitter.fault) == self._is_ready:
            level = logging.WARNING if splitter.fault else logging.INFO
            _log.log(level, "candidate: %s", splitter.fault or "the traffic splitter knows it")
        self._is_ready = not splitter.fault
        if wanted is not None and not _are_alike(splitter, wanted):
            await self._driver.set(wanted)
            _log.info("stable %g %%, candidate %g %%", *wanted)
        if wanted == self._wanted():
            self._settled.set()

    async def _pause(self) -> None:
        kick = asyncio.create_task(self._kick.wait())
        tick = asyncio.ensure_future(self._sleep(self._options.every_s))
        try:
            await asyncio.wait((kick, tick), return_when=asyncio.FIRST_COMPLETED)
        finally:
            kick.cancel()
            tick.cancel()

    async def _count(self) -> None:
        """Ask how many requests the candidate got; no answer keeps the number there is."""
        while True:
            stage = self._route.stage if self._route is not None else ""
            if stage:
                gate = PrometheusGate(url=self._options.prometheus_url, query=self._query())
                sample = await self._ask(gate, self._spec)
                if sample.value is not None and self._route is not None:
                    is_same = self._route.stage == stage
                    self._requests = max(0, int(sample.value)) if is_same else self._requests
            await self._sleep(self._options.every_s)

    def _query(self) -> str:
        elapsed_s = (self._clock.monotonic_ns() - self._since_ns) // 1_000_000_000
        return self._options.requests_query.replace("{elapsed}", str(max(1, elapsed_s)))

    def _wanted(self) -> Weights | None:
        """What the route asks of the splitter; None: it stays as it is."""
        if self._route is None:
            return None
        shares = self._route.variants
        candidate = sum(one.weight for one in shares if one.version == self._spec.candidate)
        return Weights(100.0 - candidate, candidate)


def _are_alike(splitter: Splitter, wanted: Weights) -> bool:
    return abs(splitter.weights.candidate - wanted.candidate) <= _ALIKE_PERCENT
