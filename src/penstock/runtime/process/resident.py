"""What main memory a process holds."""

from __future__ import annotations

import psutil


def resident_bytes(pid: int) -> int:
    """Its resident memory, shared segments included; 0: it is gone."""
    if not pid:
        return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
