"""RoutingBook: what this process was told of its models' routes, and makes true at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from penstock.rollout.state import ModelRouting
from penstock.router.counts import StageCounts
from penstock.router.route import Route

Hold: TypeAlias = "Callable[[str, frozenset[int]], None]"
"""Says which versions of a model stay loaded beside those that its policy chooses."""

Listener: TypeAlias = "Callable[[str, ModelRouting | None, ModelRouting], None]"
"""Told of a model, what there was (None: nothing) and what there is; must not raise."""


class Routes(Protocol):
    """Where the router finds a model's route; ``RouteTable``."""

    def set(self, model: str, route: Route | None) -> None:
        """Route a model from the next request on; None: the newest version answers."""
        ...

    def route(self, model: str) -> Route | None:
        """Who answers."""
        ...

    def counts(self, model: str) -> StageCounts | None:
        """A copy of what was counted since the route's stage began; None: nothing is counted."""
        ...


class RoutingBook:
    """This process' view of every model's route.

    Law: what was taken last is what the router uses, from the moment ``take`` returns; nothing is
    waited for, so that a rollback takes effect at once. What was counted of a stage that ends is
    kept until the next one ends.

    Args:
        table: of the router.
        hold: keeps versions loaded.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, table: Routes, hold: Hold) -> None:
        self._table = table
        self._hold = hold
        self._taken: dict[str, ModelRouting] = {}
        self._ended: dict[str, StageCounts] = {}
        self._listeners: list[Listener] = []

    def take(self, name: str, routing: ModelRouting) -> None:
        """Route a model as it is said."""
        before = self._taken.get(name)
        self._keep_counts(name, before, routing)
        self._taken[name] = routing
        self._table.set(name, routing.route)
        versions = frozenset[int]() if routing.route is None else routing.route.versions
        self._hold(name, versions)
        for listener in self._listeners:
            listener(name, before, routing)

    def routing(self, name: str) -> ModelRouting | None:
        """What was taken last of a model; None: nothing ever."""
        return self._taken.get(name)

    def names(self) -> list[str]:
        """Every model that something was taken of, by name."""
        return sorted(self._taken)

    def stage(self, name: str) -> str:
        """What is counted of a model now; "": nothing is."""
        routing = self._taken.get(name)
        return "" if routing is None or routing.route is None else routing.route.stage

    def counts(self, name: str) -> StageCounts | None:
        """What was counted of a model since its stage began; None: nothing is counted."""
        return self._table.counts(name)

    def ended(self, name: str) -> StageCounts | None:
        """What was counted in the stage that ended last; given once. None: there is none."""
        return self._ended.pop(name, None)

    def listen(self, listener: Listener) -> None:
        """Tell somebody of everything that is taken, after it holds."""
        self._listeners.append(listener)

    def _keep_counts(self, name: str, before: ModelRouting | None, now: ModelRouting) -> None:
        was = "" if before is None or before.route is None else before.route.stage
        if was and (now.route is None or now.route.stage != was):
            counts = self._table.counts(name)
            if counts is not None and counts.stage == was:
                self._ended[name] = counts
