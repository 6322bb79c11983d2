"""Serving processes that roll out on one control store, in one event loop; they can die."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from penstock.lifecycle.reconciler import Reconciler, ReconcilerOptions
from penstock.rollout import actions
from penstock.rollout.book import RoutingBook
from penstock.rollout.controller import ControllerOptions, RolloutController
from penstock.rollout.outside.sources import Sources
from penstock.rollout.reporter import Reporter, ReporterOptions, Versions
from penstock.rollout.rollout_decider import RolloutDecider
from penstock.rollout.spec import RolloutSpec
from penstock.rollout.state import ModelRouting, Phase, RolloutState
from penstock.rollout.subjects import plain_routing, read_routing, route_subject
from penstock.router.counts import StageCounts, VariantCounts
from penstock.router.route import Route
from penstock.stores.control_store import Change, ControlStore, ServingProcess
from penstock.telemetry.rollout_stats import RolloutStats
from penstock.testing.fake_control_store import FakeControlStore

AT_ONCE = ReconcilerOptions(poll_s=0, report_s=0.001, live_s=60)
OFTEN = ReporterOptions(every_s=0.002)
SOON = ControllerOptions(ttl_s=1, renew_s=0.002, max_backoff_s=0.01)
SUBJECT = route_subject("digits")

HURRY = 50
"""How many times more often than planned it looks."""

Traffic = Callable[[Route], dict[str, VariantCounts]]


def quick_spec(**fields: Any) -> RolloutSpec:
    """A plan of one step that takes no time."""
    stage = {"min_samples": 10, "min_time_s": 0.0, "timeout_s": 1000.0}
    known: dict[str, Any] = {
        "steps": [{"weight": 10.0, **stage}],
        "bake": stage,
        "gates": [],
        "interval_s": 0.1,
        "model": "digits",
        "candidate": 2,
        "reference": 1,
    }
    return msgspec.convert({**known, **fields}, RolloutSpec)


def good(route: Route) -> dict[str, VariantCounts]:
    """Both variants answer what they get."""
    return {one.name: VariantCounts(requests=100) for one in route.variants if one.weight}


def nan(route: Route) -> dict[str, VariantCounts]:
    """The candidate answers nonsense."""
    counts = good(route)
    if "canary" in counts:
        counts["canary"] = VariantCounts(requests=100, non_finite=100)
    return counts


class Table:
    """Stands for the router: each route is followed by requests at once."""

    def __init__(self, traffic: Traffic) -> None:
        self.routes: dict[str, Route | None] = {}
        self.traffic = traffic

    def set(self, model: str, route: Route | None) -> None:
        self.routes[model] = route

    def route(self, model: str) -> Route | None:
        return self.routes.get(model)

    def counts(self, model: str) -> StageCounts | None:
        route = self.routes.get(model)
        return None if route is None else StageCounts(route.stage, self.traffic(route))


class Hurried(RolloutDecider):
    """Looks more often than a plan may ask for."""

    def pace_s(self, name: str, routing: ModelRouting) -> float | None:
        """See ``Decider.pace_s``."""
        pace_s = super().pace_s(name, routing)
        return None if pace_s is None else pace_s / HURRY


class Process:
    """One serving process.

    Attributes:
        versions: what answers here.
        held: what has to stay loaded.
    """

    def __init__(
        self,
        store: ControlStore,
        number: int,
        traffic: Traffic = good,
        sources: Sources | None = None,
        share: Any = None,
        options: ControllerOptions = SOON,
    ) -> None:
        self.store = store
        self.id = f"p{number}"
        self.versions = Versions((1, 2))
        self.held: frozenset[int] = frozenset()
        self.table = Table(traffic)
        self.stats = RolloutStats()
        self.book = RoutingBook(self.table, self._hold)
        self.reconciler = Reconciler(store, ServingProcess(self.id, number), self._apply, AT_ONCE)
        self.reporter = Reporter(
            self.book, store, self.id, lambda name: self.versions, options=OFTEN
        )
        decider = Hurried(store, sources or Sources(), self.stats)
        self.controller = RolloutController(
            self.book,
            store,
            share or self.reconciler,
            self.id,
            [decider],
            self.stats,
            options=options,
        )

    @property
    def state(self) -> RolloutState | None:
        routing = self.book.routing("digits")
        return None if routing is None else routing.rollout

    async def begin(self) -> None:
        for change in await self.reconciler.begin():
            await self._apply(change)
        await self.reconciler.follow({})
        self.reporter.start()
        self.controller.start()

    async def close(self) -> None:
        await self.controller.close()
        await self.reporter.close()
        await self.reconciler.close()

    async def order(self, to: Callable[[ModelRouting], ModelRouting]) -> None:
        def plain(value: Any) -> Any:
            return plain_routing(to(read_routing(value)))

        await self.reconciler.order(SUBJECT, plain, who="ann", why="by hand")

    async def start(self, spec: RolloutSpec | None = None) -> None:
        chosen = spec or quick_spec()
        await self.order(lambda now: actions.start(chosen, now, (1, 2), "ann", now_ms()))

    async def ends(self, *phases: Phase) -> RolloutState:
        """Wait until the rollout is in one of these phases here."""
        return await self.until(lambda state: state.phase in phases)

    async def until(self, check: Callable[[RolloutState], bool]) -> RolloutState:
        """Wait for a state."""
        changed = asyncio.Event()
        self.book.listen(lambda *_: changed.set())
        async with asyncio.timeout(20):
            while (state := self.state) is None or not check(state):
                changed.clear()
                await changed.wait()
        return state

    async def _apply(self, change: Change) -> None:
        if change.subject == SUBJECT:
            self.book.take("digits", read_routing(change.value))

    def _hold(self, name: str, versions: frozenset[int]) -> None:
        self.held = versions


@asynccontextmanager
async def running(
    store: FakeControlStore, count: int = 1, **options: Any
) -> AsyncIterator[list[Process]]:
    """So many processes that have come up."""
    processes = [Process(store, number, **options) for number in range(1, count + 1)]
    for process in processes:
        await process.begin()
    try:
        yield processes
    finally:
        store.fault = None
        for process in processes:
            await process.close()


async def turns(count: int = 2000) -> None:
    """Let everybody go on for a while."""
    for _ in range(count):
        await asyncio.sleep(0)


def written(store: FakeControlStore) -> list[RolloutState]:
    """The states that were written down, in order."""
    found = [read_routing(one.value) for one in store.changes if one.subject == SUBJECT]
    return [one.rollout for one in found if one.rollout is not None]


def phases(store: FakeControlStore) -> list[str]:
    """The phases that were written down, each once where it stayed."""
    names = [f"{one.phase}{', paused' if one.is_paused else ''}" for one in written(store)]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before]


def check_law(store: FakeControlStore) -> None:
    """No phase is decided twice, and each change follows from the one before it."""
    states = written(store)
    ends = [one.history for one in states]
    for before, after in itertools.pairwise(ends):
        assert after[: len(before)] == before
        assert len(after) - len(before) <= 1
    lines = [(line.to, line.at_ms) for line in ends[-1]]
    assert len({to for to, _ in lines}) == len(lines), lines


def now_ms() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
