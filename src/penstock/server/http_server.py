"""HttpServer: uvicorn's server, in this process and on this event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn

from penstock.server.acceptor import Acceptor
from penstock.server.fast_lane import FastLane


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the event loop.

    Args:
        config: of the server.
        is_shared: whether other processes take connections from the same socket.
    """

    def __init__(self, config: uvicorn.Config, *, is_shared: bool) -> None:
        super().__init__(config)
        self._is_shared = is_shared

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup([])
        for listening in sockets or ():
            acceptor: Any = self._acceptor(listening)
            self.servers.append(acceptor)

    def _acceptor(self, listening: socket.socket) -> Acceptor:
        if not self._is_shared:
            return Acceptor(listening, self._make_protocol)
        from penstock.server.shared_acceptor import SharedAcceptor

        return SharedAcceptor(
            listening, self._make_protocol, lambda: len(self.server_state.connections)
        )

    def _make_protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


def uvicorn_config(app: Any, backlog: int) -> uvicorn.Config:
    """How uvicorn serves an application; the arguments are those of ``HttpServer``."""
    return uvicorn.Config(
        app,
        http=FastLane,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",
        backlog=backlog,
    )


class HttpServer:
    """Listens on one port and hands requests to an application.

    Args:
        app: an ASGI 3 application that is a ``fast_lane.InferenceApp`` too.
        listening: the socket, from ``sockets.bind``; owned from here on.
        backlog: connections the kernel keeps waiting.
        is_shared: whether other processes take connections from it, too.
    """

    def __init__(
        self, app: Any, listening: socket.socket, backlog: int, *, is_shared: bool = False
    ) -> None:
        self._socket = listening
        self._server = _Server(uvicorn_config(app, backlog), is_shared=is_shared)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; connections are taken as soon as the event loop turns."""
        serving = self._server.serve(sockets=[self._socket])
        self._task = asyncio.get_running_loop().create_task(serving)

    async def stop(self, timeout_s: float) -> None:
        """Take no new connections, and return when those that are busy are done."""
        del timeout_s  # the caller's deadline holds
        self._server.should_exit = True
        if self._task is not None:
            await self._task
