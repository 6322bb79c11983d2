"""What a process tree costs: CPU seconds between two moments, and its peak of memory."""

from __future__ import annotations

import threading
import time

import psutil

from benchmarks.processes import MIB, ServerProcess

_LOOK_S = 0.25
_FAMILY_EVERY = 4


class Watch:
    """Samples the tree of a process four times a second while in the `with` block.

    CPU time of a process that ends is what was last seen of it.

    Attributes:
        peak_rss_mib: the most that the tree held; pages that processes share count for each.
    """

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._cpu: dict[int, float] = {}
        self._samples: list[tuple[float, float]] = []
        self.peak_rss_mib = 0.0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def cpu_seconds(self, begun: float, ended: float) -> float:
        """Return the CPU seconds used between two moments, in seconds since the epoch."""
        return self._cpu_at(ended) - self._cpu_at(begun)

    def _cpu_at(self, moment: float) -> float:
        before = [cpu for at, cpu in self._samples if at <= moment]
        return before[-1] if before else 0.0

    def _sample(self) -> None:
        looks, family = 0, list[psutil.Process]()
        while not self._ended.wait(_LOOK_S):
            if looks % _FAMILY_EVERY == 0:
                known = {one.pid: one for one in family}
                family = [known.get(one.pid, one) for one in self._process.tree()]
            looks += 1
            rss = 0
            for one in family:
                try:
                    with one.oneshot():
                        times = one.cpu_times()
                        rss += one.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self._cpu[one.pid] = times.user + times.system
            self.peak_rss_mib = max(self.peak_rss_mib, rss / MIB)
            self._samples.append((time.time(), sum(self._cpu.values())))
