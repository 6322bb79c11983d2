"""StateFile: what a shared worker is at, written by it and read by everyone who waits for it."""

from __future__ import annotations

import os
import struct
import tempfile
from typing import Final, NamedTuple

_NOW: Final = struct.Struct("<qqq")
_COUNT: Final = struct.Struct("<q")


class WorkerState(NamedTuple):
    """What a worker computes now.

    Attributes:
        channel: the channel its batch came through; 0: it computes nothing.
        started_ns: since when, monotonic.
        deadline_ns: the batch's; 0: it is not known.
    """

    channel: int = 0
    started_ns: int = 0
    deadline_ns: int = 0


IDLE: Final = WorkerState()


class StateFile:
    """A file without a name, for one worker's life.

    It costs the worker three system calls a batch and nobody a message. It is read, not mapped: to
    read what a worker has cut off would end the reader.

    Args:
        fd: its descriptor, owned by this from now on.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def make(cls) -> StateFile:
        """A new one, which says idle.

        Raises:
            OSError: there can be none.
        """
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("penstock", os.MFD_CLOEXEC))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def begin(self, state: WorkerState) -> None:
        """A batch begins."""
        at = _NOW.size + _COUNT.size * state.channel
        os.pwrite(self.fd, _COUNT.pack(self.begun(state.channel) + 1), at)
        os.pwrite(self.fd, _NOW.pack(*state), 0)

    def end(self) -> None:
        """It is computed; its answer follows."""
        os.pwrite(self.fd, _NOW.pack(*IDLE), 0)

    def read(self) -> WorkerState:
        """What the worker computes, or computed last before it died."""
        data = os.pread(self.fd, _NOW.size, 0)
        return WorkerState(*_NOW.unpack(data)) if len(data) == _NOW.size else IDLE

    def begun(self, channel: int) -> int:
        """How many batches of a channel have begun."""
        data = os.pread(self.fd, _COUNT.size, _NOW.size + _COUNT.size * channel)
        count: int = _COUNT.unpack(data)[0] if len(data) == _COUNT.size else 0
        return count

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
