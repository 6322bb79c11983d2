"""A workload's own Python function in a loop: ``python -m benchmarks.workloads.bare NAME SECONDS``.

Prints requests/s of one process, with no server and no network.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.places import PYTHON, ROOT
from benchmarks.workloads.gil import gil, spin
from benchmarks.workloads.image import channel_means, image

if TYPE_CHECKING:
    from benchmarks.workloads.workload import Workload

FUNCTIONS = {"image": (image, channel_means), "gil": (gil, spin)}


def measure_bare(workload: Workload, duration_s: float) -> float:
    """Return requests/s of as many loops side by side as the workload has processes.

    Raises RuntimeError when a loop fails.
    """
    command = [str(PYTHON), "-m", "benchmarks.workloads.bare", workload.name, str(duration_s)]
    loops = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(workload.processes)
    ]
    printed = [loop.communicate(timeout=duration_s + 60)[0] for loop in loops]
    if any(loop.returncode for loop in loops):
        raise RuntimeError(f"the bare loop of {workload.name} failed")
    return sum(map(float, printed))


def main(name: str, duration_s: str) -> None:
    """Run the function over the samples for the given seconds; print requests/s."""
    make, function = FUNCTIONS[name]
    arrays = [next(iter(sample.values())) for sample in make().samples]
    started = time.perf_counter()
    for done, array in enumerate(itertools.cycle(arrays), start=1):
        function(array)
        took_s = time.perf_counter() - started
        if took_s >= float(duration_s):
            print(done / took_s)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
