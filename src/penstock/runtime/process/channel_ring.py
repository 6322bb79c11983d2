"""ChannelRing: the sockets of one worker, served in turn."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import Final

from penstock.runtime.process.shared_channel import SharedChannel
from penstock.runtime.process.worker_channel import Received, WorkerChannel

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class ChannelRing:
    """The socket a worker was started with, and those of the processes that share it.

    Law: messages are handed out in the order in which their channels became readable, one message
    of a channel at a time, so no process waits for more than one batch of each other one. What a
    process sent before it closed is not handed out once that is seen.

    Args:
        own: the socket it was started with; while there is no other, ``receive`` only reads it.

    Concurrency: the worker's one thread.
    """

    def __init__(self, own: WorkerChannel) -> None:
        self._own = own
        self._shared: list[SharedChannel] = []
        self._turns: deque[WorkerChannel] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(own, _READ, own)

    @property
    def first(self) -> WorkerChannel:
        """The channel for what is no batch's: the first process's that is there."""
        return next((c for c in self._shared if not c.is_gone), self._own)

    def attach(self, number: int, fd: int) -> None:
        """Serve one more socket."""
        channel = SharedChannel(socket.socket(fileno=fd), number)
        self._shared.append(channel)
        self._selector.register(channel, _READ, channel)

    def receive(self) -> tuple[WorkerChannel, Received] | None:
        """The next message and where it came from; None: the server has gone. Blocks."""
        while True:
            channel = self._next_channel() if self._shared else self._own
            if not isinstance(channel, SharedChannel):
                received = channel.receive()
                return None if received is None else (channel, received)
            try:
                received = None if channel.is_gone else channel.try_receive()
            except BlockingIOError:
                continue
            if received is not None:
                return channel, received
            self._drop(channel)

    def _next_channel(self) -> WorkerChannel:
        for channel in self._shared:
            if channel.has_unsent:
                self._selector.modify(channel, _READ | _WRITE, channel)
        while True:
            for key, events in self._selector.select(0 if self._turns else None):
                channel = key.data
                if events & _WRITE:
                    channel.flush()
                    if not channel.has_unsent:
                        self._selector.modify(channel, _READ, channel)
                if events & _READ and channel not in self._turns:
                    self._turns.append(channel)
            if self._turns:
                return self._turns.popleft()

    def _drop(self, channel: SharedChannel) -> None:
        """Forget a process that has gone, with its segments and what waits for it."""
        self._selector.unregister(channel)
        self._shared.remove(channel)
        channel.close()
