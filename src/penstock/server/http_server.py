"""HttpServer: granian, in this process and on this event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

from penstock.core.errors import ConfigError


class HttpServer:
    """Listens on one port and hands requests to an ASGI application.

    Attributes:
        port: the port it listens on.
    """

    def __init__(self, app: Any, host: str, port: int, backlog: int) -> None:
        self.port = port
        self._server = Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            backlog=backlog,
            log_enabled=False,
            websockets=False,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; connections are taken as soon as the event loop turns."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve())

    async def stop(self, timeout_s: float) -> None:
        """Take no new connections, and return when those that are busy are done."""
        del timeout_s  # the caller's deadline holds
        self._server.stop()  # type: ignore[no-untyped-call]
        if self._task is not None:
            await self._task


def free_port(host: str, port: int, what: str) -> int:
    """The port to listen on: the one asked for, or with 0 one that is free.

    Raises:
        ConfigError: the port is in use, or the address is not this machine's; one line for people.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            reason = err.strerror or str(err)
            raise ConfigError(
                f"cannot listen on {host}:{port} for {what}: {reason.lower()}. "
                f"Choose another port with --{what.lower()}-port"
            ) from err
        bound: int = probe.getsockname()[1]
        return bound
