"""ExperimentControl: starts, watches and ends experiments as people ask, in all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import NotFound
from penstock.core.orders import Orders
from penstock.rollout.book import RoutingBook
from penstock.rollout.collector import Reports, read_reports, sum_counts
from penstock.rollout.experiment import actions
from penstock.rollout.experiment.analysis import analyse
from penstock.rollout.experiment.experiments import Experiments
from penstock.rollout.experiment.result import ExperimentResult
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.experiment.state import ExperimentState, experiment_of
from penstock.rollout.reporter import VersionsOf
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import (
    counts_subject,
    plain_routing,
    read_routing,
    route_subject,
)
from penstock.router.counts import StageCounts

Change = Callable[[ModelRouting], ModelRouting]


class ExperimentStatus(msgspec.Struct, frozen=True):
    """Where an experiment stands, and what it says.

    Attributes:
        state: the experiment.
        result: what it says so far.
    """

    state: ExperimentState
    result: ExperimentResult


class ExperimentControl:
    """What people do with experiments; ``ExperimentDecider`` does what time asks for.

    Args:
        experiments: their exposures and outcomes.
        book: what this process was told of its models' routes.
        store: where the processes tell what they have counted.
        orders: where changes are made.
        versions_of: what answers here.
        clock: where time comes from; None: the machine's.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        experiments: Experiments,
        book: RoutingBook,
        store: Reports,
        orders: Orders,
        versions_of: VersionsOf,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._experiments = experiments
        self._book = book
        self._store = store
        self._orders = orders
        self._versions_of = versions_of
        self._clock = clock or SystemClock()

    async def start(self, spec: ExperimentSpec, who: str) -> None:
        """Begin an experiment.

        Raises:
            PenstockError: see ``experiment_actions.start``.
            StoreError: nothing can be changed now.
        """
        ready = self._versions_of(spec.model).ready
        now_ms = self._now_ms()

        def change(routing: ModelRouting) -> ModelRouting:
            return actions.start(spec, routing, ready, who, now_ms)

        await self._order(spec.model, change, who, f"experiment {spec.name}: start")

    async def stop(self, model: str, keep: str, who: str, why: str) -> None:
        """End an experiment; "" for ``keep`` restores the route before.

        Raises:
            PenstockError: see ``experiment_actions.stop``.
            StoreError: nothing can be changed now.
        """
        state = self._state(model)
        counts = await counts_of(self._store, state)

        def change(routing: ModelRouting) -> ModelRouting:
            return actions.stop(routing, keep, who, why, self._now_ms(), counts)

        text = f"experiment {state.spec.name}: stop" + (f", keep {keep}" if keep else "")
        await self._order(model, change, who, f"{text}: {why}" if why else text)

    async def status(self, model: str) -> ExperimentStatus:
        """Where a model's last experiment stands.

        Raises:
            NotFound: it had none.
            StoreError: what is known cannot be read.
        """
        state = self._state(model)
        tally = await self._experiments.tally(state.id)
        return ExperimentStatus(state, analyse(state, tally, await counts_of(self._store, state)))

    async def _order(self, model: str, change: Change, who: str, why: str) -> None:
        def to(value: Any) -> Any:
            return plain_routing(change(read_routing(value)))

        await self._orders.order(route_subject(model), to, who=who, why=why, may_undo=False)

    def _state(self, model: str) -> ExperimentState:
        state = experiment_of(self._book.routing(model))
        if state is None:
            raise NotFound(
                f"there is no experiment of {model}: begin one with 'penstock experiment start'"
            )
        return state

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000


async def counts_of(store: Reports, state: ExperimentState) -> StageCounts:
    """What the processes have counted of an experiment; at the end it was written down.

    Raises:
        StoreError: the store cannot be asked.
    """
    if state.counts is not None:
        return state.counts
    return sum_counts(
        read_reports(await store.published(counts_subject(state.spec.model))), state.id
    )
