"""The floor: ONNX Runtime in a bare loop, one thread, no server and no network."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks.places import PYTHON, SERVERS

if TYPE_CHECKING:
    from pathlib import Path


def measure_floor(onnx: Path, batch: int, duration_s: float) -> float:
    """Return images/s of a loop at `batch` images a run for `duration_s`, in its own process.

    Raises RuntimeError when the loop fails.
    """
    command = [str(PYTHON), str(SERVERS / "floor_loop.py"), str(onnx), str(batch)]
    command.append(str(duration_s))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=duration_s + 60, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the floor loop failed: {done.stderr.strip()[-400:]}")
    return float(json.loads(done.stdout)["items_s"])
