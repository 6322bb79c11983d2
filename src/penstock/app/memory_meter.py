"""MemoryMeter: what a load adds to the memory of this process, where that can be told."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def resident_bytes() -> int:
    """The memory of this process that is in RAM now (RSS)."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def give_back_free_memory() -> None:
    """Have the C library give free memory back to the system; does nothing where it cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Measurement:
    """What one load added.

    Attributes:
        grown_bytes: by how much the process grew; None: it cannot be told, because another load
            or unload ran at the same time, or because it did not grow at all.
    """

    def __init__(self) -> None:
        self.grown_bytes: int | None = None


class MemoryMeter:
    """Measures loads that run alone.

    A process has one size, and nobody can say which of two loads made it grow. So a load is
    measured only where no other load or unload overlaps it. Free memory is given back to the
    system before, or a load into it would seem to take nothing. Requests that run meanwhile are
    not kept away: what they allocate for good counts in, which errs on the safe side.

    Args:
        read: the size of the process, in bytes.
        settle: gives free memory back.

    Concurrency: any thread.
    """

    def __init__(
        self,
        read: Callable[[], int] = resident_bytes,
        settle: Callable[[], None] = give_back_free_memory,
    ) -> None:
        self._read = read
        self._settle = settle
        self._lock = threading.Lock()
        self._running = 0
        self._begun = 0

    @contextmanager
    def changing(self) -> Iterator[bool]:
        """Something that changes the process's size runs inside; yields whether it began alone."""
        with self._lock:
            self._running += 1
            self._begun += 1
            is_alone = self._running == 1
        try:
            yield is_alone
        finally:
            with self._lock:
                self._running -= 1

    @contextmanager
    def measuring(self) -> Iterator[Measurement]:
        """A load runs inside; the measurement is there when it has ended well."""
        measurement = Measurement()
        with self.changing() as is_alone:
            begun = self._begun
            if is_alone:
                self._settle()
                before_bytes = self._read()
            yield measurement
            if is_alone and begun == self._begun:
                grown_bytes = self._read() - before_bytes
                measurement.grown_bytes = grown_bytes if grown_bytes > 0 else None
