"""How many serving processes a setting means."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""What the control group may use: "QUOTA PERIOD" in microseconds, or "max PERIOD"."""


def process_count(processes: int | Literal["auto"], limit: Path = CPU_LIMIT) -> int:
    """The setting ``processes`` as a number, >= 1.

    Args:
        processes: the setting.
        limit: see ``cpu_quota``.
    """
    if processes != "auto":
        return processes
    quota = cpu_quota(limit)
    cpus = usable_processors()
    return cpus if quota is None else max(1, min(cpus, math.ceil(quota)))


def usable_processors() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(limit: Path = CPU_LIMIT) -> float | None:
    """How many processors' time a container may use; None: no limit.

    Args:
        limit: where that is written.
    """
    try:
        quota, period = limit.read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
