"""Serve an application on one port until SIGTERM or SIGINT: uvicorn, on this event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

_log = logging.getLogger("tweet_sentiment")

_KEEP_ALIVE_S = 75


class PortTaken(Exception):
    """The service cannot listen there; the message says why, for people."""


class _Server(uvicorn.Server):
    """Leaves signals to us: what is still to be written must be, before the process ends."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


async def serve_until_signal(
    app: Any, host: str, port: int, *, drain_s: float, on_listening: Callable[[str], None]
) -> None:
    """Listen; on the first signal take no new connections and let requests under way end.

    Args:
        app: an ASGI application without lifespan.
        host: the address to bind.
        port: 0: any that is free.
        drain_s: how long requests under way may take, in seconds.
        on_listening: is given the address once connections are taken.

    Raises:
        PortTaken: the port is in use, or the address is not this machine's.
    """
    listening = _listen(host, port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = _Server(_config(app))
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    waiting = asyncio.create_task(stopped.wait(), name="signal")
    try:
        on_listening(f"http://{host}:{listening.getsockname()[1]}")
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping")
        server.should_exit = True
        await asyncio.wait_for(serving, drain_s)
    except TimeoutError:
        _log.warning("requests under way are given up after %g s", drain_s)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=_KEEP_ALIVE_S,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as err:
        listening.close()
        reason = (err.strerror or str(err)).lower()
        raise PortTaken(f"cannot listen on {host}:{port}: {reason}") from err
    return listening
