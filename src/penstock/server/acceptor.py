"""Acceptor: takes the connections of a listening socket, many in a turn of the event loop.

libuv, and so uvloop's own server, takes one connection a turn. Where those that are there already
keep each turn busy, a crowd that comes at once then waits for a turn each, the longer the more
of them are in: 128 connections took a second, and some first requests with them
(docs/decisions/0010-uvicorn-and-a-fast-lane.md).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

_log = logging.getLogger("penstock.server")

_AT_ONCE = 128
"""Taken in one turn: some milliseconds, so that a flood of them holds up nobody for longer."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_WAIT_S = 1.0


class Acceptor:
    """Accepts until it is closed; has what uvicorn wants of an ``asyncio.Server``.

    Args:
        listening: the socket, which blocks no more from here on; owned by the caller.
        make_protocol: makes the protocol of a connection.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self, listening: socket.socket, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        self._listen()

    def close(self) -> None:
        """Accept no more; called before the socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listening.fileno())

    async def wait_closed(self) -> None:
        """Wait until the connections that were taken have their protocols."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listening.fileno(), self._on_waiting)

    def _on_waiting(self) -> None:
        """A connection waits."""
        self._accept(_AT_ONCE)

    def _pause(self, wait_s: float, then: Callable[[], None]) -> None:
        """Take none for so many seconds."""
        self._loop.remove_reader(self._listening.fileno())
        self._timer = self._loop.call_later(wait_s, then)

    def _accept(self, most: int) -> None:
        """Take what waits, so many at most."""
        for _ in range(most):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as err:
                if err.errno not in _NO_ROOM:
                    raise
                _log.error("no connection can be taken: %s", err.strerror)
                self._pause(_NO_ROOM_WAIT_S, self._listen)
                return
            self._open(connection)

    def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        opening = self._loop.connect_accepted_socket(self._make_protocol, connection)
        task: asyncio.Task[object] = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
