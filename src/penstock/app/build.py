"""Settings -> the object graph of one server. Constructor injection only; nothing starts here."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from penstock import __version__
from penstock.app.memory import available_memory
from penstock.app.model_loader import ModelLoader
from penstock.app.settings import LifecycleSettings, ResponseCacheSettings, Settings
from penstock.core.clock import Clock, SystemClock
from penstock.core.loader import Loader
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import InferenceClient
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import Manager, ManagerOptions
from penstock.lifecycle.source_adapter import ModelControl
from penstock.lifecycle.transition_policy import TRANSITION_POLICIES
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.filesystem_source import FileSystemSource
from penstock.router.router import Router
from penstock.runtime.blocking_client import BlockingClient
from penstock.server.http import HttpApp
from penstock.server.service import ModelService
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.registry import StatsRegistry
from penstock.telemetry.stats import EdgeStats
from penstock.telemetry.trace import open_telemetry

if TYPE_CHECKING:
    from penstock.app.cached_loader import SharedStore
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
    """

    source: FileSystemSource
    control: ModelControl
    service: ModelService
    api: Callable[[], Api]
    http_app: HttpApp


class _LateClient:
    """An InferenceClient that is known before the router it stands for exists."""

    def __init__(self) -> None:
        self.target: InferenceClient | None = None

    async def infer(self, request: InferRequest) -> InferResponse:
        return await cast(InferenceClient, self.target).infer(request)


def build(paths: Sequence[str], settings: Settings, switch: LevelSwitch) -> Assembly:
    """Put a server together.

    Args:
        paths: files, folders and repositories to serve.
        settings: everything else.
        switch: of the logs.

    Raises:
        ConfigError: a path or a setting is wrong.

    Concurrency: on the event loop that will run it.
    """
    loop = asyncio.get_running_loop()
    clock, stats, edge = SystemClock(), StatsRegistry(), EdgeStats()
    source = FileSystemSource(
        paths, options=settings.watch.options(settings.model_control), clock=clock
    )
    client = _LateClient()
    blocking = BlockingClient(client, loop)

    answers = _answers(settings.response_cache, clock, edge)

    def make_loader(artifact: ArtifactRef) -> Loader:
        loader = ModelLoader(artifact, client=blocking, stats=stats, clock=clock)
        options = artifact.manifest.response_cache
        return loader if options is None else answers().loader(loader, artifact, options)

    async def scan() -> Sequence[StoredModel]:
        return await asyncio.to_thread(source.scan)

    manager = Manager(
        options=_manager_options(settings.lifecycle), clock=clock, available=available_memory
    )
    control = ModelControl(
        manager, make_loader, settings.model_control, initial=settings.load_models, scan=scan
    )
    router = Router(manager)
    client.target = router
    service = ModelService(
        router=router, manager=manager, control=control, stats=stats, edge=edge, clock=clock
    )

    @functools.cache
    def api() -> Api:
        from penstock.server.api import make_api

        return make_api(service, switch, settings.server_name, __version__)

    if settings.telemetry.tracing:
        service.recorders.append(open_telemetry(clock))
    http_app = HttpApp(service, lambda: api().routes, settings.http.limits)
    return Assembly(source, control, service, api, http_app)


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


def _manager_options(settings: LifecycleSettings) -> ManagerOptions:
    return ManagerOptions(
        max_concurrent_loads=settings.max_concurrent_loads,
        load=LoadOptions(
            max_attempts=settings.load_attempts,
            initial_backoff_s=settings.initial_backoff_s,
            max_backoff_s=settings.max_backoff_s,
        ),
        transition_policy=TRANSITION_POLICIES[f"{settings.transition}_preserving"],
    )
