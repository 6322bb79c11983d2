"""SharedAcceptor: takes connections from a socket that other processes take them from, too.

An event loop's own server takes all connections that wait, so that the process which wakes first
gets most of them. Here those who have many let the others go first, and nobody takes a lot at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

_log = logging.getLogger("penstock.http")

_STEP_S = 0.0001
"""How long a process lets others go first for each connection that it has."""
_MAX_WAIT_S = 0.002
_SHARE = 8
"""What is left when the others have gone is taken, one more for so many connections that it has."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_WAIT_S = 1.0


class SharedAcceptor:
    """Accepts until it is closed; has what uvicorn wants of an ``asyncio.Server``.

    Args:
        listening: the socket, not blocking; owned by the caller.
        make_protocol: makes the protocol of a connection.
        count: the connections this process has now.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
    ) -> None:
        self._listening = listening
        self._make_protocol = make_protocol
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        self._loop.add_reader(listening.fileno(), self._on_waiting)

    def close(self) -> None:
        """Accept no more; called before the socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listening.fileno())

    async def wait_closed(self) -> None:
        """Wait until the connections that were taken have their protocols."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _have(self) -> int:
        return self._count() + len(self._opening)

    def _on_waiting(self) -> None:
        """A connection waits, or another process has taken it already."""
        if have := self._have():
            self._pause(min(_MAX_WAIT_S, have * _STEP_S))
        else:
            self._accept()

    def _pause(self, wait_s: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._timer = self._loop.call_later(wait_s, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listening.fileno(), self._on_waiting)
        for _ in range(1 + self._have() // _SHARE):
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Take one connection; whether there was one."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as err:
            if err.errno not in _NO_ROOM:
                raise
            _log.error("no connection can be taken: %s", err.strerror)
            self._pause(_NO_ROOM_WAIT_S)
            return False
        connection.setblocking(False)
        opening = self._loop.connect_accepted_socket(self._make_protocol, connection)
        task: asyncio.Task[object] = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True
