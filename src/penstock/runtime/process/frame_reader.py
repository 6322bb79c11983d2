"""FrameReader: bytes as they come from a socket, cut into frames."""

from __future__ import annotations

import socket
from typing import Final

from penstock.runtime.process.frame import MAX_BODY_BYTES, PREFIX, Frame, frame_sizes

_MAX_FDS: Final = 8
_CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_STEP_BYTES: Final = 4 * 1024 * 1024


class FrameReader:
    """Reads one socket, blocking or not.

    Args:
        sock: the socket.
        takes_fds: whether descriptors come with the frames.
        max_body_bytes: a frame with a larger body is none.

    Attributes:
        fds: descriptors that came with the frames so far, for the reader to take.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        takes_fds: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.fds: list[int] = []
        self._max_body_bytes = max_body_bytes
        self._sock = sock
        self._takes_fds = takes_fds
        self._prefix = memoryview(bytearray(PREFIX.size))
        self._target = self._prefix
        self._filled = 0
        self._head_bytes = -1
        self._total = 0

    def read(self) -> Frame | None:
        """One more frame; None: the other side has closed.

        Raises:
            BlockingIOError: the frame is not complete yet; call again when there is more.
            BadFrame: it is none.
            OSError: the connection broke.
        """
        while True:
            if self._filled < len(self._target):
                count = self._receive(self._target[self._filled :])
                if count == 0:
                    return None
                self._filled += count
            elif self._head_bytes < 0:
                self._head_bytes, body_bytes = frame_sizes(self._prefix, self._max_body_bytes)
                self._total = self._head_bytes + body_bytes
                self._target = memoryview(bytearray(min(self._total, _STEP_BYTES)))
                self._filled = 0
            elif self._filled < self._total:  # believed step by step: nobody announces us to death
                grown = bytearray(min(self._total, 2 * self._filled))
                grown[: self._filled] = self._target
                self._target = memoryview(grown)
            else:
                whole, cut = self._target, self._head_bytes
                self._target, self._filled, self._head_bytes = self._prefix, 0, -1
                return Frame(whole[:cut], whole[cut:])

    def _receive(self, view: memoryview) -> int:
        if not self._takes_fds or self._head_bytes >= 0:
            return self._sock.recv_into(view)
        data, fds, _, _ = socket.recv_fds(self._sock, len(view), _MAX_FDS, _CLOSE_ON_EXEC)
        view[: len(data)] = data
        self.fds += fds
        return len(data)
