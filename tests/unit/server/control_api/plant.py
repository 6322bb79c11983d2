"""The operations over a store in memory, as one process has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from penstock.core.errors import InvalidArgument, NotFound
from penstock.evidence.means import Moments
from penstock.lifecycle.reconciler import Reconciler
from penstock.rollout.book import RoutingBook
from penstock.rollout.reporter import Versions
from penstock.router.route_table import RouteTable
from penstock.server.control_api.looking import Looker
from penstock.server.control_api.traffic_control import Plant, TrafficControl
from penstock.server.shared_state import take_routing
from penstock.stores.control_store import Change, ServingProcess
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_control_store import FakeControlStore

KNOWN = {"digits": {1, 2, 3}, "other": {1}}


class NoOutcomes:
    """Nothing ever came of a prediction."""

    async def moments(self, model: str, experiment: str, metric: str) -> dict[str, Moments]:
        return {}


class Works:
    """One process, a store in memory, and the operations.

    Attributes:
        ready: the versions of digits that answer.
        refuses: whether this process can follow no route.
        held: what was held last, by model.
    """

    def __init__(self, notes: tuple[str, ...] = (), outbound_hosts: tuple[str, ...] = ()) -> None:
        self.store = FakeControlStore()
        self.clock = FakeClock()
        self.table = RouteTable()
        self.held: dict[str, frozenset[int]] = {}
        self.ready = [1]
        self.refuses = False
        self.book = RoutingBook(self.table, self.held.__setitem__)
        self.share = Reconciler(self.store, ServingProcess("p1"), self._apply)
        nothing: Any = None
        self.control = TrafficControl(
            Plant(
                book=self.book,
                share=self.share,
                records=self.store,
                look=Looker(self.store, NoOutcomes()).look,
                versions_of=self._versions,
                known=self._known,
                clock=self.clock,
                notes=notes,
                outbound_hosts=outbound_hosts,
            ),
            nothing,
            nothing,
        )

    async def __aenter__(self) -> TrafficControl:
        await self.share.begin()
        await self.share.follow({})
        return self.control

    async def __aexit__(self, *_: object) -> None:
        await self.share.close()

    async def _apply(self, change: Change) -> None:
        if self.refuses:
            raise InvalidArgument("not here")
        take_routing(self.book, change.subject.removeprefix("route/"), change.value)

    def _versions(self, model: str) -> Versions:
        return Versions(tuple(self.ready)) if model == "digits" else Versions()

    def _known(self, model: str) -> Collection[int]:
        if model not in KNOWN:
            raise NotFound(f"no '{model}'")
        return KNOWN[model]
