"""Run a server from start to drain."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.app.build import Assembly, build
from penstock.app.settings import Settings
from penstock.app.stop_signals import stop_event
from penstock.core.allocator import keep_freed_memory
from penstock.core.errors import PenstockError
from penstock.server.drain import drain
from penstock.server.grpc_engine import check_engine, load_engine
from penstock.server.sockets import address, bind, free_port, port_of
from penstock.telemetry.logs import configure

if TYPE_CHECKING:
    from penstock.app.processes.member import Member

_PATIENCE = 10
_GRPC_AFTER_S = 5.0
"""gRPC waits for the models, so that its import delays no first prediction, but not for ever."""

Stop = Callable[[float], Awaitable[None]]


class Doors(NamedTuple):
    """Where a server is to be reached.

    Attributes:
        listening: the HTTP socket.
        grpc_port: the gRPC port, which is free; 0: there shall be none.
        are_shared: whether other processes are to be reached there, too.
    """

    listening: socket.socket
    grpc_port: int
    are_shared: bool = False


class RunningServer:
    """A server that listens.

    Attributes:
        assembly: its parts.
        host: the address it is bound to.
        http_port: the HTTP port.
        grpc_port: the gRPC port; 0: there is none.
        num_processes: how many serve there.
    """

    def __init__(self, assembly: Assembly, host: str, http_port: int, grpc_port: int) -> None:
        self.assembly = assembly
        self.host = host
        self.http_port = http_port
        self.grpc_port = grpc_port
        self.num_processes = 1


async def serve(
    paths: Sequence[str],
    settings: Settings,
    on_ready: Callable[[RunningServer], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    The HTTP port answers from the first moment (alive, not ready); gRPC follows when the models
    are there, so that its import delays nobody's first prediction, but after 5 s at the latest.

    Args:
        paths: files, folders and repositories to serve.
        settings: everything else.
        on_ready: awaited once, when every model is ready or has failed.

    Raises:
        ConfigError: a path, a setting or a port is wrong; nothing is left behind.
    """
    grpc_port = 0
    if settings.grpc.enabled:
        check_engine(settings.grpc.engine)
        grpc_port = free_port(settings.host, settings.grpc.port, "gRPC")
    with bind(settings.host, settings.http.port, "HTTP", settings.http.backlog) as listening:
        member: Member | None = None
        if settings.control_store:
            from penstock.app.processes.member import lone_member

            member = await lone_member(settings)
        await serve_on(Doors(listening, grpc_port), paths, settings, on_ready, member)


async def serve_on(
    doors: Doors,
    paths: Sequence[str],
    settings: Settings,
    on_ready: Callable[[RunningServer], Awaitable[None]] | None,
    member: Member | None,
) -> None:
    """Serve where it is said; otherwise as ``serve``.

    Args:
        doors: where.
        paths: files, folders and repositories to serve.
        settings: everything else.
        on_ready: as for ``serve``; of several processes in one of them.
        member: what makes this process one of several; None: it is alone.

    Raises:
        PenstockError: see ``serve``; a StoreError where the shared state cannot be read.
    """
    keep_freed_memory()
    telemetry = settings.telemetry
    number = 0 if member is None else member.place.process.number
    switch = configure(telemetry.log_format, telemetry.log_level, number)
    companions = None if member is None else member.place.companions
    try:
        assembly = build(paths, settings, switch, companions)
        server = RunningServer(assembly, settings.host, port_of(doors.listening), doors.grpc_port)
        await _run(server, doors, settings, on_ready, member)
    finally:
        if member is not None:
            await member.leave()


async def _run(
    server: RunningServer,
    doors: Doors,
    settings: Settings,
    on_ready: Callable[[RunningServer], Awaitable[None]] | None,
    member: Member | None,
) -> None:
    """From the first look at the models to the end of the drain."""
    assembly = server.assembly
    stopped = stop_event(is_supervised=doors.are_shared)
    await assembly.open_jobs()
    if member is not None:
        await member.begin(assembly, stopped)
    source = asyncio.create_task(assembly.source.run(assembly.control), name="source")
    opened: list[Stop] = []
    has_failed = False
    loaded: asyncio.Task[None] | None = None
    await asyncio.sleep(0)  # the source takes its first look
    if source.done():
        source.result()  # a path is wrong: nothing has started yet
    try:
        loaded = asyncio.create_task(load_initial(assembly, settings, member), name="initial load")
        opens_late = member is not None and member.place.opens_late
        if not opens_late:
            opened.append(_start_http(assembly, settings, doors))
        await first_of(asyncio.wait([loaded], timeout=_GRPC_AFTER_S), source, stopped)
        if server.grpc_port and not opens_late and not stopped.is_set():
            opened.append(await _start_grpc(assembly, settings, doors))
        gc.freeze()  # what is there now stays: no later collection needs to look at it
        gc.enable()
        await first_of(asyncio.wait([loaded]), source, stopped)
        if loaded.done():
            loaded.result()
            if member is not None:
                await _all_started(member, source, stopped)
            if opens_late and not stopped.is_set():
                opened += await _open_late(server, doors, settings)
            assembly.has_started()
        if not stopped.is_set():
            await _announce(server, member, on_ready)
        await first_of(stopped.wait(), source, stopped)
    except PenstockError:
        has_failed = not assembly.service.has_started
        raise
    finally:
        assembly.service.is_draining = True  # before anything that may take its time
        await assembly.leave()
        await let_go([source, *([loaded] if loaded is not None else [])], member)
        await drain(
            assembly.service,
            stop_accepting=opened,
            timeout_s=settings.drain_timeout_s,
            is_silent=has_failed,
            end_workers=assembly.end,
        )


async def _open_late(server: RunningServer, doors: Doors, settings: Settings) -> list[Stop]:
    """Open every door; what stops them."""
    opened = [_start_http(server.assembly, settings, doors)]
    if server.grpc_port:
        opened.append(await _start_grpc(server.assembly, settings, doors))
    return opened


async def load_initial(assembly: Assembly, settings: Settings, member: Member | None) -> None:
    """Everything that should be there at the start is, what was ordered meanwhile included."""
    await wait_loaded(assembly, settings)
    if member is not None:
        await member.follow()


async def wait_loaded(assembly: Assembly, settings: Settings) -> None:
    """Every model that was there at the start, files still being written included, is loaded."""
    await assembly.source.wait_quiet(_PATIENCE * settings.watch.settle_s)
    assembly.control.end_initial()
    await assembly.service.manager.wait_loaded()


async def let_go(work: Sequence[asyncio.Task[None]], member: Member | None) -> None:
    """Follow neither the models nor the other processes any longer."""
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    if member is not None:
        await member.leave()


async def _announce(
    server: RunningServer,
    member: Member | None,
    on_ready: Callable[[RunningServer], Awaitable[None]] | None,
) -> None:
    """Tell whoever wants to know that everything is there; of several processes one does."""
    if member is not None:
        server.num_processes = member.num_processes
    if on_ready is not None and (member is None or member.announces):
        await on_ready(server)


async def _all_started(member: Member, source: asyncio.Task[None], stopped: asyncio.Event) -> None:
    """This process has come up; wait until all others have, or this one is stopped."""
    starting = asyncio.create_task(member.started(), name="start")
    try:
        await first_of(asyncio.wait([starting]), source, stopped)
        if starting.done():
            starting.result()
    finally:
        starting.cancel()


async def first_of(
    work: Coroutine[Any, Any, object], source: asyncio.Task[None], stopped: asyncio.Event
) -> None:
    """Wait for ``work``, unless the server is stopped or its source breaks before.

    Raises:
        PenstockError: what broke the source.
    """
    tasks = [asyncio.create_task(work), asyncio.create_task(stopped.wait())]
    try:
        await asyncio.wait([*tasks, source], return_when=asyncio.FIRST_COMPLETED)
        if source.done():
            source.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _start_http(assembly: Assembly, settings: Settings, doors: Doors) -> Stop:
    from penstock.server.http_server import HttpServer  # while the first model loads

    backlog, is_shared = settings.http.backlog, doors.are_shared
    http = HttpServer(assembly.http_app, doors.listening, backlog, is_shared=is_shared)
    http.start()
    return http.stop


async def _start_grpc(assembly: Assembly, settings: Settings, doors: Doors) -> Stop:
    """GRPC takes as long to import as a model to load: not on the event loop's thread."""
    api = assembly.api()
    make_door = await asyncio.to_thread(load_engine, settings.grpc.engine)
    from penstock.server.grpc_api.api import GrpcApi
    from penstock.server.grpc_api.call import GrpcOptions

    options = GrpcOptions(
        max_message_bytes=settings.grpc.max_message_bytes, shares_port=doors.are_shared
    )
    door = make_door(GrpcApi(assembly.service, api.views, api.live), options)
    await door.start(address(settings.host, doors.grpc_port))
    return door.stop
