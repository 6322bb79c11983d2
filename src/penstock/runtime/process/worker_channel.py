"""WorkerChannel: the worker's end of its socket, blocking, with the shared segments."""

from __future__ import annotations

import mmap
import os
import socket
import threading

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


class WorkerChannel:
    """Sends from any thread; receives on one.

    Args:
        sock: the worker's end of the pair, blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = FrameReader(sock, takes_fds=True)
        self._sending = threading.Lock()
        self._segments: dict[int, Array] = {}

    def send(self, message: ToServer, packed: Packed | None = None) -> None:
        """Send a message with its tensors. Blocks until the socket has taken it all."""
        num_bytes = 0 if packed is None else packed.num_bytes
        data = encode_head(message, num_bytes)
        if packed is not None and packed.parts:
            data = b"".join((data, *packed.parts))
        with self._sending:
            self._sock.sendall(data)

    def receive(self) -> tuple[ToWorker, memoryview] | None:
        """The next message and its body; None: the server has gone. Blocks."""
        try:
            frame = self._reader.read()
        except ConnectionError:
            return None
        return None if frame is None else (_decode(frame.head), frame.body)

    def map_segments(self, message: Execute) -> None:
        """Map the segments that came with a message, and forget those it drops.

        Raises:
            BadFrame: a descriptor is missing.
        """
        for id_ in message.dropped_segments:
            self._segments.pop(id_, None)
        for id_, num_bytes in message.new_segments:
            if not self._reader.fds:
                raise BadFrame(f"segment {id_} came without its descriptor")
            fd = self._reader.fds.pop(0)
            try:
                self._segments[id_] = np.frombuffer(mmap.mmap(fd, num_bytes), np.uint8)
            finally:
                os.close(fd)

    def segment(self, id_: int) -> Array | None:
        """``[bytes] uint8`` of a segment; None: there is none of this number."""
        return self._segments.get(id_)
