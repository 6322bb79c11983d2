"""RolloutDecider: looks at one model's rollout: collects, decides, tells. It writes nothing."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.evidence.sample_ratio import log_e_value
from penstock.rollout.collector import Collected, Collector, Reports
from penstock.rollout.decide import decide
from penstock.rollout.outside.sources import Outside, Sources
from penstock.rollout.outside.teller import TOO_OLD_S, Board, MakeSender, Teller
from penstock.rollout.routes import route_of, weight_of
from penstock.rollout.seen import Evidence
from penstock.rollout.stage_clock import StageClock
from penstock.rollout.state import ModelRouting, RolloutState
from penstock.router.route import Route, RoutingKey
from penstock.telemetry.rollout_stats import RolloutStats


class Evidences(Board, Reports, Protocol):
    """What it needs of a ControlStore."""


class _Followed:
    """What is remembered of one rollout while this process decides for it."""

    def __init__(self, teller: Teller, collector: Collector, outside: Outside, clock: Clock):
        self.teller = teller
        self.collector = collector
        self.outside = outside
        self.clock = StageClock(clock)

    async def close(self) -> None:
        await self.outside.close()
        await self.teller.close()


class RolloutDecider:
    """A ``Decider`` for rollouts.

    Args:
        store: where the processes tell what they counted.
        sources: who else is asked.
        stats: counts what happens.
        clock: where time comes from.
        make_sender: makes the sender of a webhook; None: over HTTP.
    """

    def __init__(
        self,
        store: Evidences,
        sources: Sources,
        stats: RolloutStats,
        *,
        clock: Clock | None = None,
        make_sender: MakeSender | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._stats = stats
        self._clock = clock or SystemClock()
        self._make_sender = make_sender
        self._followed: dict[str, _Followed] = {}
        self._finished: dict[str, str] = {}

    def pace_s(self, name: str, routing: ModelRouting) -> float | None:
        """See ``Decider.pace_s``. A rollout that has ended is looked at until all were told."""
        state = routing.rollout
        if state is None:
            return None
        if not state.phase.is_end:
            return state.spec.interval_s
        if self._finished.get(name) == state.id:
            return None
        ended_ms = max((line.at_ms for line in state.history), default=0)
        is_old = self._clock.wall_ns() // 1_000_000 - ended_ms > TOO_OLD_S * 1000
        return None if is_old else state.spec.interval_s

    async def look(self, name: str, routing: ModelRouting) -> ModelRouting | None:
        """See ``Decider.look``."""
        state = routing.rollout
        if state is None:
            return None
        followed = await self._follow(name, state)
        after = None if state.phase.is_end else await self._decide(name, followed, state)
        if after is None:  # a decision waits for nobody: the next look tells of it
            await followed.teller.look(state)
            if state.phase.is_end and followed.teller.is_idle:
                self._finished[name] = state.id
            return None
        return msgspec.structs.replace(routing, route=route_of(after), rollout=after)

    def wrote(self, name: str, before: ModelRouting, after: ModelRouting) -> bool:
        """See ``Decider.wrote``."""
        was, now = before.rollout, after.rollout
        if was is None or now is None or len(was.history) == len(now.history):
            return before.route != after.route
        self._stats.decided(name, "paused" if now.is_paused else str(now.phase))
        return before.route != after.route

    async def rest(self, name: str) -> None:
        """See ``Decider.rest``."""
        found = self._followed.get(name)
        if found is not None:
            self._stats.forget_counts(name)
            self._stats.stalled.pop(name, None)
            await found.close()
            self._followed.pop(name, None)

    async def _follow(self, name: str, state: RolloutState) -> _Followed:
        found = self._followed.get(name)
        if found is not None and found.teller.rollout == state.id:
            return found
        await self.rest(name)
        clock, make_sender = self._clock, self._make_sender
        teller = Teller(
            state.id, name, self._store, self._stats, clock=clock, make_sender=make_sender
        )
        collector, outside = Collector(name, self._store, clock), Outside(self._sources)
        self._followed[name] = _Followed(teller, collector, outside, clock)
        return self._followed[name]

    async def _decide(
        self, name: str, followed: _Followed, state: RolloutState
    ) -> RolloutState | None:
        outside = followed.outside
        outside.follow(state)
        collected = await followed.collector.collect(state)
        self._show(name, state, collected)
        seen = Evidence(
            counts=collected.counts,
            readiness=collected.readiness,
            outcomes=dict(outside.outcomes),
            prometheus=dict(outside.readings),
            golden=outside.golden,
        )
        now_state, now_ms = followed.clock.look(state)
        return decide(now_state, seen, now_ms)

    def _show(self, name: str, state: RolloutState, collected: Collected) -> None:
        """Put what was collected where the metrics find it."""
        self._stats.forget_counts(name)
        pairs = collected.counts.pairs
        if pairs is not None and pairs.pairs:
            self._stats.disagreement[name] = 1.0 - pairs.agreed / pairs.pairs
        ratio = sample_ratio(route_of(state), collected)
        if ratio is not None:
            self._stats.sample_ratio[name] = ratio


def sample_ratio(route: Route | None, collected: Collected) -> float | None:
    """How likely the variants' requests are if they follow the weights: an anytime-valid p-value.

    Returns:
        0 to 1; None: there is nothing to say: one variant gets all, a rule takes requests away, or
        a key assigns several requests at once, which then are no independent draws.
    """
    if route is None or route.rules or route.key != RoutingKey():
        return None
    shares = {one.name: one.weight / 100 for one in route.variants if one.weight > 0}
    counted = collected.counts.variants
    requests = {name: counted[name].requests for name in shares if name in counted}
    if len(shares) < 2 or not any(requests.values()):
        return None
    counts = {name: requests.get(name, 0) for name in shares}
    return min(1.0, math.exp(-max(0.0, log_e_value(counts, shares))))


def show_routing(stats: RolloutStats, name: str, routing: ModelRouting) -> None:
    """Put where a rollout is where the metrics find it."""
    state = routing.rollout
    if state is None:
        stats.phases.pop(name, None)
        stats.weights.pop(name, None)
    else:
        stats.phases[name] = str(state.phase)
        stats.weights[name] = weight_of(state)
