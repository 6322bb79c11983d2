"""step_back: a process that computes only what others leave."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

IDLE = 19
"""The niceness at which Linux runs a process only where nothing else wants the processor."""

_THREADS = Path("/proc/self/task")


def step_back(niceness: int, cpu_share: float) -> None:
    """Have this process, and all threads and processes that it starts, yield to others.

    Processors, the disk, and the room in memory: where that runs out it is the first to go. What
    the system does not offer is left away. A library may have started threads of its own by now:
    they yield, too.

    Args:
        niceness: from 0, as everybody else, to 19.
        cpu_share: the part of its processors that it keeps, one at least.

    Concurrency: the main thread.
    """
    kept = _kept_processors(cpu_share)
    for thread in _threads():
        with contextlib.suppress(OSError):
            now = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(now, niceness))
        if niceness == IDLE and hasattr(os, "SCHED_IDLE"):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        if kept:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, kept)
    if niceness and hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900", "ascii")


def _threads() -> list[int]:
    """Every thread of this process; the calling one alone where the system does not tell."""
    try:
        return [int(entry.name) for entry in _THREADS.iterdir()]
    except OSError:
        return [0]


def _kept_processors(cpu_share: float) -> list[int]:
    """The last ones of this process' processors, the first are left to others; []: all are kept."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    there = sorted(os.sched_getaffinity(0))
    count = max(1, int(cpu_share * len(there)))
    return there[-count:] if count < len(there) else []
