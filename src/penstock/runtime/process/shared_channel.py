"""SharedChannel: a shared worker's end of one process's socket; that process makes nobody wait."""

from __future__ import annotations

import select
import socket

from penstock.runtime.process.frame import ToServer
from penstock.runtime.process.tensor_block import Packed
from penstock.runtime.process.worker_channel import Received, WorkerChannel, encoded


class SharedChannel(WorkerChannel):
    """A channel that never blocks, but for ``receive``; for one thread.

    What its other side does not read at once is kept, which is one answer at most: there is one
    batch under way on a channel.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        sock.setblocking(False)
        super().__init__(sock, number)
        self._unsent = memoryview(b"")
        self._poll = select.poll()
        self._poll.register(sock, 0)

    @property
    def has_unsent(self) -> bool:
        """Whether some of an answer waits until the other side reads."""
        return bool(self._unsent)

    @property
    def is_gone(self) -> bool:
        """Whether the other side has closed, though there may be more to read."""
        return bool(self._poll.poll(0))

    def send(self, message: ToServer, packed: Packed | None = None) -> None:
        """Send a message, or as much of it as goes at once; see ``flush``."""
        data = encoded(message, packed)
        self._unsent = memoryview(bytes(self._unsent) + data if self._unsent else data)
        self.flush()

    def flush(self) -> None:
        """Send more of what waits."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # nobody is there to read it
            self._unsent = memoryview(b"")

    def try_receive(self) -> Received | None:
        """The next message; None: the other side has gone.

        Raises:
            BlockingIOError: it is not there yet.
        """
        return super().receive()

    def receive(self) -> Received | None:
        """The next message; None: the other side has gone. Blocks."""
        while True:
            try:
                return self.try_receive()
            except BlockingIOError:
                events = select.POLLIN | (select.POLLOUT if self._unsent else 0)
                waiting = select.poll()
                waiting.register(self._sock, events)
                waiting.poll()
                self.flush()
