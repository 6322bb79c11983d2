"""step_back: a process that computes only what others leave."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

IDLE = 19
"""The niceness at which Linux runs a process only where nothing else wants the processor."""


def step_back(niceness: int, cpu_share: float) -> None:
    """Have this process, and all threads and processes that it starts, yield to others.

    Processors, the disk, and the room in memory: where that runs out it is the first to go. What
    the system does not offer is left away.

    Args:
        niceness: from 0, as everybody else, to 19.
        cpu_share: the part of its processors that it keeps, one at least.

    Concurrency: before any thread was started.
    """
    with contextlib.suppress(OSError):
        os.nice(niceness)
    if niceness == IDLE and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if niceness and hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    if hasattr(os, "sched_setaffinity"):
        keep_processors(cpu_share)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900", "ascii")


def keep_processors(cpu_share: float) -> None:
    """Compute on the last ones of this process' processors; the first are left to others."""
    there = sorted(os.sched_getaffinity(0))
    count = max(1, int(cpu_share * len(there)))
    if count < len(there):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, there[-count:])
