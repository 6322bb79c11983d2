"""What memory this process may still take."""

from __future__ import annotations

from pathlib import Path

from penstock.core.resources import ResourceEstimate

_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> ResourceEstimate:
    """Main memory that can be had now: the machine's, or what its control group leaves."""
    import psutil

    free_bytes = psutil.virtual_memory().available
    return ResourceEstimate(min(free_bytes, _cgroup_free_bytes(free_bytes)))


def _cgroup_free_bytes(default: int) -> int:
    """What the limit of a container leaves; ``default`` where there is none."""
    try:
        limit = (_CGROUP / "memory.max").read_text("ascii").strip()
        used = (_CGROUP / "memory.current").read_text("ascii").strip()
        return default if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return default
