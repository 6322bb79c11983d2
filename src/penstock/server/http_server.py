"""HttpServer: uvicorn's server, in this process and on this event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn

from penstock.server.fast_lane import FastLane


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the event loop."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


class HttpServer:
    """Listens on one port and hands requests to an application.

    Args:
        app: an ASGI 3 application that is a ``fast_lane.InferenceApp`` too.
        listening: the socket, from ``sockets.bind``; owned from here on.
        backlog: connections the kernel keeps waiting.
    """

    def __init__(self, app: Any, listening: socket.socket, backlog: int) -> None:
        config = uvicorn.Config(
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
        self._socket = listening
        self._server = _Server(config)
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
