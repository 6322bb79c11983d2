"""Shared memory without names: segments that vanish with the last process that holds them.

A segment is an anonymous memory file (``memfd_create``), whose descriptor travels over the worker's
socket. Nothing is written below ``/dev/shm``, so neither its size nor a killed process matters.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import weakref
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from penstock.core.tensor import Array

_MIN_BYTES = 256 * 1024
_MAX_FREE = 2


class SharedMemoryBudget:
    """How much shared memory all workers of a server may use together.

    Attributes:
        max_bytes: the most.
        used_bytes: what is in use now.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0

    def take(self, num_bytes: int) -> bool:
        """Take so much of it; False: that would be too much, nothing is taken."""
        if self.used_bytes + num_bytes > self.max_bytes:
            return False
        self.used_bytes += num_bytes
        return True

    def give_back(self, num_bytes: int) -> None:
        """Give back what was taken."""
        self.used_bytes -= num_bytes


class Segment:
    """One mapped segment.

    Attributes:
        id: its number on this channel.
        num_bytes: its size.
        bytes: ``[num_bytes] uint8``, writable.
    """

    def __init__(self, id: int, num_bytes: int, fd: int) -> None:  # noqa: A002
        self.id = id
        self.num_bytes = num_bytes
        self._map = mmap.mmap(fd, num_bytes)
        self.bytes: Array = np.frombuffer(self._map, np.uint8)


class Lent(NamedTuple):
    """A segment for one use, and the descriptor to send if the worker has not seen it yet.

    Attributes:
        segment: the segment.
        fd: its descriptor; -1: the worker has it.
    """

    segment: Segment
    fd: int


class SegmentPool:
    """The segments of one worker, on the server's side. They are used again and again.

    Concurrency: the event loop's thread, but for ``release`` inside ``lend_view``, which may come
    from any thread.
    """

    def __init__(self, budget: SharedMemoryBudget) -> None:
        self._budget = budget
        self._ids = itertools.count()
        self._free: list[Segment] = []
        self._returned: deque[Segment] = deque()
        self._dropped: list[int] = []
        self._all_bytes = 0

    def lend(self, num_bytes: int) -> Lent | None:
        """A free segment of at least this size; None: there is none and no more may be had."""
        self._collect()
        for segment in self._free:
            if segment.num_bytes >= num_bytes:
                self._free.remove(segment)
                return Lent(segment, -1)
        return self._make(num_bytes)

    def give_back(self, segment: Segment) -> None:
        """It is free again."""
        self._returned.append(segment)

    def lend_view(self, segment: Segment) -> Array:
        """``[bytes] uint8`` of a segment that is free again when nobody holds a view of it."""
        root = np.frombuffer(segment.bytes.data, np.uint8)
        weakref.finalize(root, self._returned.append, segment).atexit = False
        return root

    def take_back(self, lent: Iterable[Lent], dropped: Iterable[int]) -> None:
        """Undo: these were never sent, nor were those told as dropped."""
        self._dropped += dropped
        for one in lent:
            if one.fd < 0:
                self.give_back(one.segment)
            else:  # the worker has never seen it
                os.close(one.fd)
                self._budget.give_back(one.segment.num_bytes)
                self._all_bytes -= one.segment.num_bytes

    def dropped(self) -> list[int]:
        """The ids of the segments that are used no more, told once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def close(self) -> None:
        """Forget everything; views that are still held stay valid."""
        self._budget.give_back(self._all_bytes)
        self._all_bytes = 0
        self._free.clear()
        self._returned.clear()

    def _collect(self) -> None:
        while self._returned:
            self._free.append(self._returned.popleft())
        while len(self._free) > _MAX_FREE:
            self._drop(min(self._free, key=lambda segment: segment.num_bytes))

    def _make(self, num_bytes: int) -> Lent | None:
        size = max(_MIN_BYTES, 1 << (num_bytes - 1).bit_length())  # fits the next ones, too
        while not self._budget.take(size):
            if not self._free:
                return None
            self._drop(self._free[0])
        fd = -1
        try:
            fd = _sealed_memory(size)
            segment = Segment(next(self._ids), size, fd)
        except (OSError, AttributeError):  # no memory for it, or no Linux
            if fd >= 0:
                os.close(fd)
            self._budget.give_back(size)
            return None
        self._all_bytes += size
        return Lent(segment, fd)

    def _drop(self, segment: Segment) -> None:
        self._free.remove(segment)
        self._dropped.append(segment.id)
        self._budget.give_back(segment.num_bytes)
        self._all_bytes -= segment.num_bytes


def _sealed_memory(num_bytes: int) -> int:
    """The descriptor of new memory whose size nobody can change: to read what a worker has cut off
    would end the server.
    """
    fd = os.memfd_create("penstock", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, num_bytes)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd
