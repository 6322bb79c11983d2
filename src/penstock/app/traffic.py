"""ProcessTraffic: the routes, rollouts and experiments of one process, from need to end.

A server that has none of them imports, starts and opens nothing of theirs.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import NotReady
from penstock.core.servable import InferenceClient
from penstock.lifecycle.source_adapter import ModelControl
from penstock.router.route_table import RouteTable
from penstock.server.service import ModelService
from penstock.server.share import Share, routed_model

if TYPE_CHECKING:
    import tempfile

    from penstock.app.processes.own_share import OwnShare
    from penstock.app.traffic_engine import TrafficEngine
    from penstock.rollout.book import RoutingBook
    from penstock.rollout.experiment.experiments import Experiments
    from penstock.router.shadow import ShadowTee
    from penstock.server.control_api.traffic_control import TrafficControl
    from penstock.stores.control_store import Change, ControlStore

_log = logging.getLogger("penstock.control")

_LEAVE_S = 2.0
_OWN_SHARE = "penstock.app.processes.own_share"
_LOG = "penstock.stores.experiment_log_open"
FORGOTTEN = (
    "this is forgotten when the server ends: name a store in the setting control_store to keep it"
)


class Joined(NamedTuple):
    """What a process shares with the others.

    Attributes:
        store: where it is kept.
        share: changes it.
        process_id: of this process.
        control_url: where the store is.
        folder: a private folder of the server; None: it has none.
        notes: what is said to whoever changes something.
    """

    store: ControlStore
    share: Share
    process_id: str
    control_url: str
    folder: Path | None = None
    notes: tuple[str, ...] = ()


class Permits(NamedTuple):
    """What those who change routes and rollouts may have the server do.

    Attributes:
        comparisons: the functions that shadows may be told to compare with.
        outbound_hosts: who may be asked for metrics and told of rollouts, see the setting.
    """

    comparisons: tuple[str, ...] = ()
    outbound_hosts: tuple[str, ...] = ()


NOTHING = Permits()


class ProcessTraffic:
    """See ``service.Traffic``; made with the server, everything else when it is first needed.

    Args:
        table: of the router.
        control: keeps versions loaded.
        service: of the process.
        client: reaches the models.
        permits: what a client may have the server do.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        table: RouteTable,
        control: ModelControl,
        service: ModelService,
        client: InferenceClient,
        permits: Permits = NOTHING,
    ) -> None:
        self._permits = permits
        self._table = table
        self._control = control
        self._service = service
        self._client = client
        self._joined: Joined | None = None
        self._own: OwnShare | None = None
        self._book: RoutingBook | None = None
        self._tee: ShadowTee | None = None
        self._experiments: Experiments | None = None
        self._engine: TrafficEngine | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._is_following = False
        self._is_closed = False
        self._making = asyncio.Lock()

    @property
    def book(self) -> RoutingBook:
        """What this process was told of its models' routes."""
        if self._book is None:
            from penstock.rollout.book import RoutingBook
            from penstock.router.shadow import ShadowTee

            service = self._service
            self._tee = self._table.tee = ShadowTee(
                service.manager,
                lambda: service.in_flight,
                clock=service.clock,
                own=self._permits.comparisons,
            )
            self._book = RoutingBook(self._table, self._control.hold)
            self._wake()
        return self._book

    async def prepare(self) -> None:
        """Import what routes need, while requests go on."""
        if self._engine is None:
            await on_daemon_thread(_import_parts, "penstock-import")

    def join(self, joined: Joined) -> None:
        """Take part in what several processes share, or what outlives this one."""
        self._joined = joined

    def follow(self) -> None:
        """This process follows what is shared by now: report, and decide, where there is need."""
        self._is_following = True
        self._wake()

    async def share(self) -> Share:
        """See ``service.Traffic.share``."""
        return (await self._join()).share

    async def control(self) -> TrafficControl:
        """See ``service.Traffic.control``."""
        await self._join()
        _ = self.book  # and with it the engine
        if self._engine is None:
            raise NotReady("the server is starting: its routes are not known yet")
        return self._engine.control

    async def leave(self) -> None:
        """Decide no more, and copy nothing for shadows; before this process drains."""
        self._is_closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            try:
                async with asyncio.timeout(_LEAVE_S):
                    await engine.leave()
            except TimeoutError:
                _log.warning("the control store takes too long: the last counts are not told")
        if self._tee is not None:
            await self._tee.aclose()

    async def close(self) -> None:
        """Let go of the stores; when the last request is answered."""
        await self.leave()
        async with self._making:  # what is being opened is closed, too
            experiments, self._experiments = self._experiments, None
            if experiments is not None:
                await experiments.close()
            own, self._own = self._own, None
            if own is not None:
                await own.close()
            if self._folder is not None:
                self._folder.cleanup()

    async def _join(self) -> Joined:
        async with self._making:
            if self._is_closed:
                raise NotReady("the server is shutting down")
            await self.prepare()
            if self._joined is None:
                self._joined = await self._open_own()
                self.follow()
            return self._joined

    async def _open_own(self) -> Joined:
        from penstock.app.processes.member import new_process
        from penstock.app.processes.own_share import OwnShare

        me = new_process(0)
        own = OwnShare(me, self._apply)
        await own.open()
        self._own = own
        return Joined(own.store, own.reconciler, me.id, own.url, own.folder, (FORGOTTEN,))

    async def _apply(self, change: Change) -> None:
        from penstock.server.shared_state import take_routing

        name = routed_model(change.subject)
        if name is not None:
            take_routing(self.book, name, change.value)

    def _wake(self) -> None:
        """Note exposures, report and decide, once there is something to."""
        joined, book = self._joined, self._book
        if joined is None or book is None or self._is_closed:
            return
        if self._experiments is None:
            from penstock.rollout.experiment.experiments import Experiments
            from penstock.stores.experiment_log_open import open_experiment_log

            clock = self._service.clock
            otherwise = (joined.folder or self._own_folder()) / "experiments.db"
            log = open_experiment_log(joined.control_url, otherwise, clock=clock)
            self._experiments = self._table.exposures = Experiments(log, clock=clock)
        if self._engine is None and self._is_following:
            from penstock.app.traffic_engine import TrafficEngine

            self._engine = TrafficEngine(
                self._service, self._client, book, self._experiments, joined, self._permits
            )
            self._engine.start()

    def _own_folder(self) -> Path:
        """Where exposures are kept that no control store has a place for."""
        import tempfile

        self._folder = tempfile.TemporaryDirectory(prefix="penstock-")
        return Path(self._folder.name)


def _import_parts() -> None:
    for name in ("penstock.app.traffic_engine", "penstock.router.shadow", _OWN_SHARE, _LOG):
        importlib.import_module(name)
