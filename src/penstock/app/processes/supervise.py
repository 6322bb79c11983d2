"""Serve with several processes, from the ports to the last of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec

from penstock.app.processes.companion import Companion, make_companions
from penstock.app.processes.control_setting import check_store, open_control
from penstock.app.processes.handover import Handover, settings_out
from penstock.app.processes.supervisor import Supervisor
from penstock.app.settings import Settings
from penstock.core.errors import ConfigError
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.server.share import socket_path
from penstock.server.sockets import bind, port_of, reserve
from penstock.stores.open_control_store import control_file_url
from penstock.telemetry.logs import configure

_log = logging.getLogger("penstock.supervisor")

_COMPANION_CLOSE_S = 10.0
_MAX_SOCKET_PATH = 100
"""Bytes; the kernels' limits are 104 and 108."""


async def supervise(paths: Sequence[str], settings: Settings, count: int) -> None:
    """Serve with several processes until SIGTERM or SIGINT, then drain them all.

    Args:
        paths: files, folders and repositories to serve.
        settings: everything else.
        count: how many serving processes.

    Raises:
        ConfigError: a path, a setting or a port is wrong; nothing is left behind.
        LoadFailed: the serving processes do not come up.
    """
    configure(settings.telemetry.log_format, settings.telemetry.log_level)
    async with AsyncExitStack() as stack:
        http = settings.http
        listening = stack.enter_context(bind(settings.host, http.port, "HTTP", http.backlog))
        grpc_port = 0
        if settings.grpc.enabled:
            reserved = stack.enter_context(reserve(settings.host, settings.grpc.port, "gRPC"))
            grpc_port = port_of(reserved)
        reaper = ReaperProcess()
        folder = stack.enter_context(_private_folder(reaper))
        url = settings.control_store or control_file_url(folder / "control.db")
        store = open_control(url, is_new=True)
        stack.push_async_callback(store.close)
        await check_store(store, url)
        common = Handover(
            paths=tuple(paths),
            settings=settings_out(msgspec.structs.replace(settings, processes=count)),
            folder=str(folder),
            control_url=url,
            http_fd=listening.fileno(),
            grpc_port=grpc_port,
            companions=await _start_companions(settings, folder, stack),
        )
        supervisor = Supervisor(common, settings.drain_timeout_s, count, store, reaper)
        await supervisor.run(listening)


async def _start_companions(
    settings: Settings, folder: Path, stack: AsyncExitStack
) -> dict[str, str]:
    """Start what runs beside the serving processes; what they are told of it, by name."""
    told = {}
    for companion in make_companions(settings):
        told[companion.name] = await companion.start(folder)
        stack.push_async_callback(_close, companion)
    return told


async def _close(companion: Companion) -> None:
    """Close one; what it raises is logged: the rest of the server must end, too."""
    closing = asyncio.wait_for(companion.close(), _COMPANION_CLOSE_S)
    (error,) = await asyncio.gather(closing, return_exceptions=True)
    if error is not None:
        _log.error("'%s' could not be closed", companion.name, exc_info=error)


@contextmanager
def _private_folder(reaper: ReaperProcess) -> Iterator[Path]:
    """A folder that nobody else may read, and that is gone at the end, however this ends."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="penstock-")).absolute()
    except OSError as err:
        raise ConfigError(f"no temporary folder can be made: {err.strerror or err}") from err
    reaper.add_folder(folder)
    try:
        longest = socket_path(folder, 999)
        if len(str(longest).encode()) > _MAX_SOCKET_PATH:
            raise ConfigError(f"the path of the temporary folder {folder} is too long: set TMPDIR")
        yield folder
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        reaper.remove_folder(folder)
