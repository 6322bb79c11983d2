"""What a result file says of the machine, the versions and the commit it was measured on."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

import psutil

from benchmarks.places import ROOT


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, cwd=ROOT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines and (done.returncode == 0 or "wrk" in lines[0]) else None


def commit() -> str | None:
    """Return the git commit, with "+changes" when the tree is dirty; None outside a commit."""
    revision = _first_line(["git", "rev-parse", "--verify", "HEAD"])
    if revision is None:
        return None
    dirty = _first_line(["git", "status", "--porcelain", "--untracked-files=no"])
    return f"{revision}+changes" if dirty else revision


def describe() -> dict[str, object]:
    """Return processor, cores, memory in GiB, kernel, Python and load generator versions."""
    processor = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "system": _pretty_system(),
        "python": platform.python_version(),
        "wrk": _first_line(["wrk", "-v"]),
        "h2load": _first_line(["h2load", "--version"]),
        "load_average_at_start": [round(value, 2) for value in os.getloadavg()],
    }


def _pretty_system() -> str:
    release = platform.freedesktop_os_release()
    return release.get("PRETTY_NAME", platform.system())


def heading_fields(name: str, workload: str) -> dict[str, object]:
    """Return the fields that every result file begins with."""
    fields: dict[str, object] = {
        "name": name,
        "workload": workload,
        "date": now(),
        "commit": commit(),
        "machine": describe(),
    }
    if "BENCH_PENSTOCK" in os.environ:
        fields["penstock_executable"] = os.environ["BENCH_PENSTOCK"]
    return fields


def versions(python: Path, packages: list[str]) -> dict[str, str]:
    """Return the installed version of each of `packages` in the environment of `python`."""
    script = (
        "import importlib.metadata as m,sys,json\n"
        "found={}\n"
        "for n in sys.argv[1:]:\n"
        "    try: found[n]=m.version(n)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    line = _first_line([str(python), "-c", script, *packages])
    return json.loads(line) if line else {}


def now() -> str:
    """Return the present time, UTC, ISO 8601 in whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
