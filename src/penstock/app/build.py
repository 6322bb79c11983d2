"""Settings -> the object graph of one server. Constructor injection only; nothing starts here."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from penstock import __version__
from penstock.app.memory import available_memory
from penstock.app.memory_book import MemoryBook
from penstock.app.memory_meter import MemoryMeter
from penstock.app.model_loader import ModelLoader
from penstock.app.model_source import ModelSource, model_source
from penstock.app.settings import (
    LifecycleSettings,
    MemorySettings,
    PackageSettings,
    ResponseCacheSettings,
    Settings,
)
from penstock.app.shared_workers import WORKERS, SharedWorkers
from penstock.app.traffic import Permits, ProcessTraffic
from penstock.core.clock import Clock, SystemClock
from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import ConfigError
from penstock.core.loader import Loader
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import InferenceClient
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import Manager, ManagerOptions
from penstock.lifecycle.on_demand import OnDemand, OnDemandOptions
from penstock.lifecycle.source_adapter import ModelControl
from penstock.lifecycle.transition_policy import TRANSITION_POLICIES
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.package_options import PackageIntake
from penstock.repository.package_ref import PackageRef
from penstock.router.route_table import RouteTable
from penstock.router.router import Router
from penstock.runtime.blocking_client import BlockingClient
from penstock.server.http import HttpApp
from penstock.server.service import ModelService
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.registry import StatsRegistry
from penstock.telemetry.stats import EdgeStats, MemoryNumbers
from penstock.telemetry.trace import open_telemetry

if TYPE_CHECKING:
    from penstock.app.cached_loader import SharedStore
    from penstock.app.jobs.served.served_jobs import ServedJobs
    from penstock.server.api import Api


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of a server that something is asked of after they are built.

    Attributes:
        source: where models come from.
        control: who decides what of them serves.
        service: the operations.
        api: everything but inference, made when it is first asked for.
        http_app: the ASGI application.
        workers: the worker processes of the models.
        traffic: the routes, rollouts and experiments.
        jobs: the batch jobs of clients; None: none are taken.
    """

    source: ModelSource
    control: ModelControl
    service: ModelService
    api: Callable[[], Api]
    http_app: HttpApp
    workers: SharedWorkers
    traffic: ProcessTraffic
    jobs: ServedJobs | None = None

    async def open_jobs(self) -> None:
        """Take batch jobs, where there shall be any; before anything is listened to.

        Raises:
            ConfigError: their folder or their queue cannot be used.
        """
        if self.jobs is not None:
            await self.jobs.open()

    def has_started(self) -> None:
        """Everything is up: this process is ready, and runs jobs."""
        self.service.has_started = True
        if self.jobs is not None:
            self.jobs.start()

    async def leave(self) -> None:
        """Before this process drains: decide nothing and run no jobs any longer."""
        if self.jobs is not None:
            await self.jobs.leave()
        await self.traffic.leave()

    async def end(self) -> None:
        """When the last request is answered: end the workers, close the stores."""
        try:
            await self.workers.close()
        finally:
            await self.traffic.close()
            if self.jobs is not None:
                await self.jobs.close()


class _LateClient:
    """An InferenceClient that is known before the router it stands for exists."""

    def __init__(self) -> None:
        self.target: InferenceClient | None = None

    async def infer(self, request: InferRequest) -> InferResponse:
        return await cast(InferenceClient, self.target).infer(request)


def build(
    paths: Sequence[str],
    settings: Settings,
    switch: LevelSwitch,
    companions: Mapping[str, str] | None = None,
) -> Assembly:
    """Put a server together.

    Args:
        paths: files, folders, repositories and URLs to serve.
        settings: everything else.
        switch: of the logs.
        companions: what runs beside several serving processes, by name, and where; None: there is
            one process.

    Raises:
        ConfigError: a path or a setting is wrong.

    Concurrency: on the event loop that will run it.
    """
    clock, stats, edge = SystemClock(), StatsRegistry(), EdgeStats()
    source = model_source(paths, settings, _packages(settings.packages), clock)
    client = _LateClient()
    workers = SharedWorkers(
        settings.workers,
        client,
        broker=(companions or {}).get(WORKERS, ""),
        num_processes=_num_processes(settings) if companions else 1,
    )
    make_loader = _loader_maker(settings, client, workers, stats, edge, clock)
    manager, control, on_demand = _manage(settings, make_loader, source.scan, clock)
    edge.memory = _memory_numbers(settings.memory, manager, on_demand)
    table = RouteTable(edge.routes)
    router = Router(manager, on_demand, table, clock)
    client.target = router
    service = ModelService(
        router=router,
        manager=manager,
        control=control,
        stats=stats,
        edge=edge,
        clock=clock,
        on_demand=on_demand,
    )
    service.routes = table
    permits = Permits(settings.shadow_comparisons, settings.outbound_hosts)
    traffic = ProcessTraffic(table, control, service, router, permits)
    service.traffic = traffic

    @functools.cache
    def api() -> Api:
        from penstock.server.api import make_api

        return make_api(service, switch, settings.server_name, __version__)

    if settings.telemetry.tracing:
        service.recorders.append(open_telemetry(clock))
    http_app = HttpApp(service, lambda: api().routes, settings.http.limits)
    jobs = _jobs(paths, settings, service, clock)
    return Assembly(source, control, service, api, http_app, workers, traffic, jobs)


def _jobs(
    paths: Sequence[str], settings: Settings, service: ModelService, clock: Clock
) -> ServedJobs | None:
    """The batch jobs of clients; imported by those who take them."""
    if not settings.jobs.folder:
        return None
    from penstock.app.jobs.served.served_jobs import ServedJobs

    return ServedJobs(settings, paths, service, clock)


def _num_processes(settings: Settings) -> int:
    """How many serving processes there are; the supervisor has counted them."""
    return settings.processes if isinstance(settings.processes, int) else 1


def _loader_maker(
    settings: Settings,
    client: _LateClient,
    workers: SharedWorkers,
    stats: StatsRegistry,
    edge: EdgeStats,
    clock: Clock,
) -> Callable[[ArtifactRef], Loader]:
    """Makes the loader of an artifact; what all loaders share is made here.

    Raises:
        ConfigError: a setting is wrong.
    """
    blocking = BlockingClient(client, asyncio.get_running_loop())
    book, meter = MemoryBook(learns_early=settings.memory.on_demand), MemoryMeter()
    answers = _answers(settings.response_cache, clock, edge)

    def make_loader(artifact: ArtifactRef) -> Loader:
        loader = ModelLoader(
            artifact,
            client=blocking,
            stats=stats,
            clock=clock,
            book=book,
            meter=meter,
            workers=workers.host,
        )
        options = artifact.manifest.response_cache
        wanted = loader if options is None else answers().loader(loader, artifact, options)
        return wanted if artifact.package is None else _packaged(wanted, artifact.package)

    return make_loader


def _manage(
    settings: Settings,
    make_loader: Callable[[ArtifactRef], Loader],
    look: Callable[[], Sequence[StoredModel]],
    clock: Clock,
) -> tuple[Manager, ModelControl, OnDemand | None]:
    """Who decides what serves, and brings it into memory; None: nothing is loaded on demand."""

    async def scan() -> Sequence[StoredModel]:
        return await on_daemon_thread(look, "penstock-scan")

    manager = Manager(
        options=_manager_options(settings.lifecycle, settings.memory),
        clock=clock,
        available=available_memory,
    )
    control = ModelControl(
        manager,
        make_loader,
        settings.model_control,
        initial=settings.load_models,
        scan=scan,
        on_demand=settings.memory.on_demand,
    )
    return manager, control, _on_demand(settings, manager, control, clock)


def _memory_numbers(
    settings: MemorySettings, manager: Manager, on_demand: OnDemand | None
) -> Callable[[], MemoryNumbers]:
    """Reads what the loaded models hold."""
    return lambda: MemoryNumbers(
        manager.held_bytes,
        settings.budget_bytes,
        manager.num_evictions,
        0 if on_demand is None else on_demand.num_waiting,
    )


def _packaged(loader: Loader, package: PackageRef) -> Loader:
    """A loader that unpacks first; imported by those who have packages."""
    from penstock.app.packaged_loader import PackagedLoader

    return PackagedLoader(loader, package)


def _packages(settings: PackageSettings) -> PackageIntake:
    """How packages are taken in, the keys looked at now rather than with the first package.

    Raises:
        ConfigError: a key cannot be used, or there is none and signatures are required.
        LoadFailed: the library for signatures is not installed.
    """
    intake = settings.intake()
    if settings.require_signed and not settings.trusted_keys:
        raise ConfigError(
            "packages.require_signed: is on, but there is no key to check signatures with: "
            "name the public keys in packages.trusted_keys"
        )
    if intake.options.trusted_keys:
        from penstock.repository.package_seal import read_keys

        read_keys(intake.options.trusted_keys)
    return intake


def _answers(
    settings: ResponseCacheSettings, clock: Clock, edge: EdgeStats
) -> Callable[[], SharedStore]:
    """The store of cached models, made for the first of them.

    Raises:
        ConfigError: the URL is wrong.
    """
    if settings != ResponseCacheSettings():
        from penstock.stores.store_url import parse_store_url

        parse_store_url(settings.url)

    @functools.cache
    def made() -> SharedStore:
        from penstock.app.cached_loader import SharedStore

        return SharedStore(settings, clock, edge)

    return made


def _on_demand(
    settings: Settings, manager: Manager, control: ModelControl, clock: Clock
) -> OnDemand | None:
    """What brings cold models; None: models are always loaded."""
    memory = settings.memory
    if not memory.on_demand:
        return None
    options = OnDemandOptions(
        room_wait_s=memory.room_wait_s,
        max_waiting_requests=memory.max_waiting_requests,
        max_backoff_s=max(1.0, settings.lifecycle.max_backoff_s),
    )
    return OnDemand(manager, options, lambda name: control.manifest(name).queue, clock)


def _manager_options(settings: LifecycleSettings, memory: MemorySettings) -> ManagerOptions:
    return ManagerOptions(
        max_concurrent_loads=settings.max_concurrent_loads,
        load=LoadOptions(
            max_attempts=settings.load_attempts,
            initial_backoff_s=settings.initial_backoff_s,
            max_backoff_s=settings.max_backoff_s,
        ),
        transition_policy=TRANSITION_POLICIES[f"{settings.transition}_preserving"],
        memory_budget_bytes=memory.budget_bytes,
        min_loaded_s=memory.min_loaded_s,
    )
