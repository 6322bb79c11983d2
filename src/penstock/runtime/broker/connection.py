"""BrokerConnection: a serving process's line to the broker."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from contextlib import ExitStack
from typing import Final, Protocol

from penstock.core.errors import LoadFailed
from penstock.runtime.broker.frames import Given, ToBroker, ToGuest, decode_from_broker
from penstock.runtime.process.channel import Channel

_log = logging.getLogger("penstock.runtime")

_CONNECT_TIMEOUT_S = 10.0
_CONNECT_AGAIN_S = 0.05
GONE: Final = "the process that starts its workers has gone"


class SeatHolder(Protocol):
    """Who is told what the broker says of one seat."""

    def heard(self, message: ToGuest, fds: list[int]) -> None:
        """The broker says something; the descriptors that came with it are the holder's."""
        ...

    def deserted(self) -> None:
        """The broker has gone: nothing more will come."""
        ...


class BrokerConnection:
    """One for all seats of a serving process.

    Args:
        sock: connected with the broker; owned by this from now on.

    Attributes:
        is_open: whether the broker is there.

    Concurrency: the event loop's thread.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._holders: dict[int, SeatHolder] = {}
        self._numbers = itertools.count(1)
        self.is_open = True
        self._channel: Channel[ToGuest] = Channel(
            sock, decode_from_broker, on_message=self._take, on_lost=self._lost, takes_fds=True
        )

    @classmethod
    async def open(cls, path: str) -> BrokerConnection:
        """A line to the broker whose Unix socket that is.

        Raises:
            LoadFailed: nobody is there.
        """
        try:
            return cls(await _connected(path))
        except OSError as err:
            why = err.strerror or f"no answer within {_CONNECT_TIMEOUT_S:g} s"
            raise LoadFailed(f"{GONE}: {why}", retryable=True) from err

    def seat(self, holder: SeatHolder) -> int:
        """A number for a new seat, of which the holder is told."""
        number = next(self._numbers)
        self._holders[number] = holder
        return number

    def forget(self, seat: int) -> None:
        """Its holder is told no more."""
        self._holders.pop(seat, None)

    def send(self, message: ToBroker) -> None:
        """Tell the broker something."""
        self._channel.send(message)

    def close(self) -> None:
        """Hang up: every seat is given back."""
        self.is_open = False
        self._channel.close()

    def _take(self, message: ToGuest, body: memoryview) -> None:
        del body  # always empty
        fds = self._channel.take_fds(2) if isinstance(message, Given) else []
        holder = self._holders.get(message.seat)
        if holder is not None:
            holder.heard(message, fds)
            return
        for fd in fds:
            socket.close(fd)

    def _lost(self, why: str) -> None:
        self.is_open = False
        _log.error("%s: %s", GONE, why or "it closed its socket")
        for holder in tuple(self._holders.values()):
            holder.deserted()


async def _connected(path: str) -> socket.socket:
    """A socket to whoever listens at a path.

    Raises:
        OSError: nobody does, or not in time.
    """
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.setblocking(False)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            while not _has_connected(sock, path):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(_CONNECT_AGAIN_S)
        stack.pop_all()
    return sock


def _has_connected(sock: socket.socket, path: str) -> bool:
    """Try to connect. Where too many wait to be let in, no event tells when to try again."""
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    return True
