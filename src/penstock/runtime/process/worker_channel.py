"""WorkerChannel: the worker's end of its socket, blocking, with the shared segments."""

from __future__ import annotations

import mmap
import os
import socket
import threading
from typing import NamedTuple

import msgspec
import numpy as np

from penstock.core.tensor import Array
from penstock.runtime.process.frame import (
    BadFrame,
    Execute,
    ToServer,
    ToWorker,
    encode_head,
)
from penstock.runtime.process.frame_reader import FrameReader
from penstock.runtime.process.tensor_block import Packed

_decode = msgspec.msgpack.Decoder(ToWorker).decode


class Received(NamedTuple):
    """What came over a channel.

    Attributes:
        message: the head.
        body: the bytes of its tensors.
    """

    message: ToWorker
    body: memoryview


class WorkerChannel:
    """Sends from any thread; receives on one.

    Args:
        sock: the worker's end of the pair, blocking.
        number: the channel's; 0: the one the worker was started with.
    """

    def __init__(self, sock: socket.socket, number: int = 0) -> None:
        self.number = number
        self._sock = sock
        self._reader = FrameReader(sock, takes_fds=True)
        self._sending = threading.Lock()
        self._segments: dict[int, Array] = {}

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def send(self, message: ToServer, packed: Packed | None = None) -> None:
        """Send a message with its tensors. Blocks until the socket has taken it all."""
        with self._sending:
            self._sock.sendall(encoded(message, packed))

    def receive(self) -> Received | None:
        """The next message; None: the other side has gone. Blocks."""
        try:
            frame = self._reader.read()
        except ConnectionError:
            return None
        return None if frame is None else Received(_decode(frame.head), frame.body)

    def take_fd(self) -> int:
        """The next descriptor that came, for the caller to close.

        Raises:
            BadFrame: there is none.
        """
        if not self._reader.fds:
            raise BadFrame("a message came without its descriptor")
        return self._reader.fds.pop(0)

    def map_segments(self, message: Execute) -> None:
        """Map the segments that came with a message, and forget those it drops.

        Raises:
            BadFrame: a descriptor is missing.
        """
        for id_ in message.dropped_segments:
            self._segments.pop(id_, None)
        for id_, num_bytes in message.new_segments:
            fd = self.take_fd()
            try:
                self._segments[id_] = np.frombuffer(mmap.mmap(fd, num_bytes), np.uint8)
            finally:
                os.close(fd)

    def segment(self, id_: int) -> Array | None:
        """``[bytes] uint8`` of a segment; None: there is none of this number."""
        return self._segments.get(id_)

    def close(self) -> None:
        """Close the socket and forget the segments; what the model still holds stays valid."""
        self._segments.clear()
        for fd in self._reader.fds:
            os.close(fd)
        self._sock.close()


def encoded(message: ToServer, packed: Packed | None) -> bytes:
    """A whole frame."""
    num_bytes = 0 if packed is None else packed.num_bytes
    data = encode_head(message, num_bytes)
    return b"".join((data, *packed.parts)) if packed is not None and packed.parts else data
