"""SharedAcceptor: takes connections from a socket that other processes take them from, too.

A process that takes all that wait gets most of them if it wakes first. Here those who have many
let the others go first, and nobody takes a lot at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from penstock.server.acceptor import Acceptor

_STEP_S = 0.0001
"""How long a process lets others go first for each connection that it has."""
_MAX_WAIT_S = 0.002
_SHARE = 8
"""What is left when the others have gone is taken, one more for so many connections that it has."""


class SharedAcceptor(Acceptor):
    """An ``Acceptor`` among others.

    Args:
        listening, make_protocol: as for ``Acceptor``.
        count: the connections this process has now.
    """

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
    ) -> None:
        self._count = count
        super().__init__(listening, make_protocol)

    def _have(self) -> int:
        return self._count() + len(self._opening)

    def _on_waiting(self) -> None:
        """A connection waits, or another process has taken it already."""
        if have := self._have():
            self._pause(min(_MAX_WAIT_S, have * _STEP_S), self._go_on)
        else:
            self._accept(1)

    def _go_on(self) -> None:
        self._listen()
        self._accept(1 + self._have() // _SHARE)
