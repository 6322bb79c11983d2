"""ModelService: what both doors, HTTP and gRPC, let their clients do. No wire format here."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from penstock.core.clock import Clock, SystemClock
from penstock.core.deadline import Deadline
from penstock.core.errors import NotFound, NotReady, PenstockError, Unsupported
from penstock.core.ids import LATEST, ServableId, VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import InferenceClient
from penstock.core.status import VersionStatus
from penstock.lifecycle.manager import Manager
from penstock.lifecycle.on_demand import OnDemand
from penstock.lifecycle.source_adapter import ModelControl
from penstock.repository.manifest_file import apply_overrides
from penstock.router.route_table import RouteTable
from penstock.scheduler.model_info import ModelInfo
from penstock.scheduler.scheduler import Scheduler
from penstock.server.share import Share, Siblings, model_subject
from penstock.telemetry.registry import StatsRegistry
from penstock.telemetry.stats import EdgeStats, ModelStatsSnapshot

if TYPE_CHECKING:
    from penstock.rollout.book import RoutingBook
    from penstock.server.control_api.traffic_control import TrafficControl
    from penstock.server.jobs_api.desk import JobDesk


class Traffic(Protocol):
    """The routes, rollouts and experiments of one process, made when they are first needed."""

    @property
    def book(self) -> RoutingBook:
        """What this process was told of its models' routes."""
        ...

    async def share(self) -> Share:
        """The state that routes are changed in; raises StoreError where it cannot be made."""
        ...

    async def control(self) -> TrafficControl:
        """What operators do; raises StoreError where the share cannot be made."""
        ...


class Recorder(Protocol):
    """Makes something of finished requests: a trace log, spans."""

    def record(self, request: InferRequest, encoded_ns: int, outcome: str) -> None:
        """Take note of one request. Called after its answer is encoded; must not raise."""
        ...

    def flush(self) -> object:
        """Send off what was noted; called once, at the end, off the event loop. May block."""
        ...


class ModelService:
    """The server's operations, whoever asks for them.

    Attributes:
        manager: which versions live.
        control: how models are loaded and unloaded by hand.
        stats: what each version did.
        edge: what never reached a model.
        clock: the server's time.
        recorders: who is told of finished requests.
        routes: what the router goes by where a request names no version.
        share: the state that several processes share; None: this one's is its own.
        traffic: the routes, rollouts and experiments; None: there can be none.
        jobs: the batch jobs of clients; None: none are taken.
        siblings: the other processes; None: there are none.
        has_started: whether every door is open.
        is_draining: whether the server is on its way out.
        in_flight: requests under way.
    """

    def __init__(  # the parts of a server, each given by name
        self,
        *,
        router: InferenceClient,
        manager: Manager,
        control: ModelControl,
        stats: StatsRegistry,
        edge: EdgeStats,
        clock: Clock | None = None,
        on_demand: OnDemand | None = None,
    ) -> None:
        self.manager = manager
        self.control = control
        self.stats = stats
        self.edge = edge
        self.clock = clock or SystemClock()
        self.recorders: list[Recorder] = []
        self.routes = RouteTable()
        self.share: Share | None = None
        self.siblings: Siblings | None = None
        self.traffic: Traffic | None = None
        self.jobs: JobDesk | None = None
        self.is_draining = False
        self.has_started = False
        self.in_flight = 0
        self._router = router
        self._on_demand = on_demand
        self._quiet = asyncio.Event()

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request; raises what ``InferenceClient.infer`` raises."""
        self.in_flight += 1
        try:
            return await self._router.infer(request)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._quiet.set()

    async def wait_quiet(self) -> None:
        """Return when no request is under way."""
        while self.in_flight:
            self._quiet.clear()
            await self._quiet.wait()

    def record(self, request: InferRequest, outcome: str) -> None:
        """Tell the recorders of a finished request. Ask ``recorders`` first: it is on the path."""
        encoded_ns = self.clock.monotonic_ns()
        for recorder in self.recorders:
            recorder.record(request, encoded_ns, outcome)

    def reject(self, protocol: str, request: InferRequest | None, error: PenstockError) -> None:
        """Count an error, unless the model has counted it already."""
        if request is None or not request.timeline.queued_ns:
            self.edge.reject(protocol, error.code)

    def is_ready(self) -> bool:
        """Whether everything that should serve does, and the server takes requests."""
        return self.has_started and not self.is_draining and self.manager.is_ready()

    def model(self, name: str, choice: VersionChoice) -> ModelInfo:
        """What a version is.

        Raises:
            NotFound, NotReady: it cannot be reached.
        """
        servable = self.manager.servable(name, self._meant(name, choice))
        return cast(Scheduler, servable).info

    async def warm(
        self, name: str, choice: VersionChoice = LATEST, deadline: Deadline | None = None
    ) -> None:
        """Bring a model that is loaded on demand into memory; any other stays as it is.

        Args:
            name: the model's name.
            choice: the version that is meant.
            deadline: when to give up; None: after the model's ``queue.default_timeout_s``.

        Raises:
            PenstockError: see ``OnDemand.fetch``; nothing of a server without on-demand loading.
        """
        if self._on_demand is not None:
            request = InferRequest(name, (), choice, deadline=deadline)
            (await self._on_demand.fetch(request)).release()

    def model_ready(self, name: str, choice: VersionChoice) -> bool:
        """Whether a version would be given a request now; False also where there is none, and
        where every worker of it is in quarantine.
        """
        try:
            servable = self.manager.servable(name, self._meant(name, choice))
        except (NotFound, NotReady):
            return False
        return not self.is_draining and cast(Scheduler, servable).fault is None

    def _meant(self, name: str, choice: VersionChoice) -> VersionChoice:
        """The version that a choice means where the model has a route: of its labels the one they
        name, and of its variants the first one that is ready.
        """
        route = self.routes.route(name)
        if route is None or choice.version is not None:
            return choice
        if choice.label is not None:
            labelled = route.labels.get(choice.label)
            return choice if labelled is None else VersionChoice(version=labelled)
        ready = self.manager.ready_versions(name)
        found = (one.version for one in route.variants if one.version in ready)
        return VersionChoice(version=next(found, None))

    @property
    def routing(self) -> RoutingBook:
        """What this process was told of its models' routes.

        Raises:
            Unsupported: it has none.
        """
        return self._traffic().book

    async def shared(self) -> Share:
        """The state that routes, rollouts and experiments are changed in; made where there is none.

        Raises:
            StoreError: it cannot be made.
            Unsupported: this server has no routes.
        """
        return await self._traffic().share()

    async def traffic_control(self) -> TrafficControl:
        """What operators do with routes, rollouts and experiments; raises as ``shared``."""
        return await self._traffic().control()

    def _traffic(self) -> Traffic:
        if self.traffic is None:
            raise Unsupported("routes are not offered here")
        return self.traffic

    def job_desk(self) -> JobDesk:
        """Whoever takes batch jobs.

        Raises:
            Unsupported: this server takes none.
            NotReady: it is on its way out.
        """
        if self.jobs is None:
            raise Unsupported(
                "batch jobs are not taken here: name a folder for them in the setting jobs.folder"
            )
        if self.is_draining:
            raise NotReady("the server is shutting down")
        return self.jobs

    def ready_models(self) -> list[ModelInfo]:
        """Every version that serves, by name and version."""
        return [
            self.model(name, VersionChoice(version=version))
            for name in sorted({status.id.name for status in self.manager.statuses()})
            for version in self.manager.ready_versions(name)
        ]

    def statistics(
        self, name: str = "", choice: VersionChoice = LATEST
    ) -> Sequence[ModelStatsSnapshot]:
        """This process' numbers of one version, one model's versions, or everything.

        Raises:
            NotFound, NotReady: there is no such model or version.
        """
        version = self.model(name, choice).id.version if name else None
        return self.counted(name, None if choice == LATEST else version)

    async def all_statistics(
        self, name: str = "", choice: VersionChoice = LATEST
    ) -> Sequence[ModelStatsSnapshot]:
        """``statistics``, summed over all processes; raises what it raises."""
        own = self.statistics(name, choice)
        if self.siblings is None:
            return own
        from penstock.telemetry.stats_sum import sum_statistics

        version = None if choice == LATEST or not name else self.model(name, choice).id.version
        return sum_statistics([*own, *await self.siblings.statistics(name, version)])

    def counted(self, name: str, version: int | None) -> list[ModelStatsSnapshot]:
        """This process' numbers of a version, of all versions (None), of all models ("")."""
        return [
            stats.snapshot()
            for stats in self.stats
            if name in ("", stats.name) and version in (None, stats.version)
        ]

    def index(self) -> tuple[list[VersionStatus], list[str]]:
        """Every version the repository holds and its state; and the names of all its models."""
        rows = self.control.index()
        statuses = [
            VersionStatus(ServableId(r.name, r.version), r.state, r.reason, r.revision, r.labels)
            for r in rows
            if r.version is not None
        ]
        return statuses, sorted({row.name for row in rows})

    async def load(self, name: str, overrides: Mapping[str, Any] | None, who: str) -> None:
        """Load a model by hand, in every process; see ``ModelControl.load``.

        Args:
            name: the model's name.
            overrides: manifest fields to replace until the next load; None: none.
            who: who asks, for the history of a shared state.

        Raises:
            StoreError: the state that processes share cannot be changed.
        """
        if self.share is None:
            override = None
            if overrides is not None:
                override = functools.partial(apply_overrides, overrides=overrides)
            await self.control.load(name, override)
        else:
            self.control.check_request(name)
            value = {"loaded": True, "overrides": overrides}
            await self.share.order(model_subject(name), lambda _: value, who=who, why="load")

    async def unload(self, name: str, who: str) -> None:
        """Unload a model by hand, in every process; see ``ModelControl.unload``.

        Args:
            name: the model's name.
            who: as for ``load``.

        Raises:
            StoreError: the state that processes share cannot be changed.
        """
        if self.share is None:
            await self.control.unload(name)
        else:
            self.control.check_request(name)
            value = {"loaded": False}
            await self.share.order(model_subject(name), lambda _: value, who=who, why="unload")
