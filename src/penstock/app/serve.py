"""Run a server from start to drain."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import ModuleType
from typing import Any

from penstock.app.build import Assembly, build
from penstock.app.settings import Settings
from penstock.server.drain import drain
from penstock.server.sockets import address, bind, free_port, port_of
from penstock.telemetry.logs import configure

_PATIENCE = 10
_GRPC_AFTER_S = 5.0
"""gRPC waits for the models, so that its import delays no first prediction, but not for ever."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Stop = Callable[[float], Awaitable[None]]


class RunningServer:
    """A server that listens.

    Attributes:
        assembly: its parts.
        host: the address it is bound to.
        http_port: the HTTP port.
        grpc_port: the gRPC port; 0: there is none.
    """

    def __init__(self, assembly: Assembly, host: str, http_port: int, grpc_port: int) -> None:
        self.assembly = assembly
        self.host = host
        self.http_port = http_port
        self.grpc_port = grpc_port


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
    grpc_port = free_port(settings.host, settings.grpc.port, "gRPC") if settings.grpc.enabled else 0
    with bind(settings.host, settings.http.port, "HTTP", settings.http.backlog) as listening:
        telemetry = settings.telemetry
        assembly = build(paths, settings, configure(telemetry.log_format, telemetry.log_level))
        server = RunningServer(assembly, settings.host, port_of(listening), grpc_port)
        await _run(server, listening, settings, on_ready)


async def _run(
    server: RunningServer,
    listening: socket.socket,
    settings: Settings,
    on_ready: Callable[[RunningServer], Awaitable[None]] | None,
) -> None:
    """From the first look at the models to the end of the drain."""
    assembly = server.assembly
    stopped = _stop_event()
    source = asyncio.create_task(assembly.source.run(assembly.control), name="source")
    doors: list[Stop] = []
    loaded: asyncio.Task[None] | None = None
    await asyncio.sleep(0)  # the source takes its first look
    if source.done():
        source.result()  # a path is wrong: nothing has started yet
    try:
        from penstock.server.http_server import HttpServer  # while the first model loads

        http = HttpServer(assembly.http_app, listening, settings.http.backlog)
        http.start()
        doors.append(http.stop)
        loaded = asyncio.create_task(wait_loaded(assembly, settings), name="initial load")
        await first_of(asyncio.wait([loaded], timeout=_GRPC_AFTER_S), source, stopped)
        if server.grpc_port and not stopped.is_set():
            doors.append(await _start_grpc(assembly, settings, server.grpc_port))
        gc.freeze()  # what is there now stays: no later collection needs to look at it
        gc.enable()
        await first_of(asyncio.wait([loaded]), source, stopped)
        if loaded.done():
            loaded.result()
            assembly.service.has_started = True
        if on_ready is not None and not stopped.is_set():
            await on_ready(server)
        await first_of(stopped.wait(), source, stopped)
    finally:
        work = [source, *([loaded] if loaded is not None else [])]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await drain(assembly.service, stop_accepting=doors, timeout_s=settings.drain_timeout_s)


async def wait_loaded(assembly: Assembly, settings: Settings) -> None:
    """Every model that was there at the start, files still being written included, is loaded."""
    await assembly.source.wait_quiet(_PATIENCE * settings.watch.settle_s)
    assembly.control.end_initial()
    await assembly.service.manager.wait_loaded()


def _stop_event() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stopped.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    return stopped


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


def _import_grpc() -> ModuleType:
    """GRPC takes as long to import as a model to load: not on the event loop's thread."""
    from penstock.server import grpc

    return grpc


async def _start_grpc(assembly: Assembly, settings: Settings, port: int) -> Stop:
    api = assembly.api()
    door = await asyncio.to_thread(_import_grpc)
    options = door.GrpcOptions(max_message_bytes=settings.grpc.max_message_bytes)
    server = door.GrpcServer(assembly.service, api.views, api.live, options)
    await server.start(address(settings.host, port))
    stop: Stop = server.stop
    return stop
