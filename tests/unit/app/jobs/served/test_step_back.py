"""A process that computes only what others leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="needs Linux")

PROGRAM = """
import json, os, pathlib, sys, threading
from penstock.app.jobs.served.step_back import step_back

held = threading.Event()
threading.Thread(target=held.wait, daemon=True).start()
before = len(os.sched_getaffinity(0))
step_back(int(sys.argv[1]), float(sys.argv[2]))
threading.Thread(target=held.wait, daemon=True).start()
threads = [int(entry.name) for entry in pathlib.Path("/proc/self/task").iterdir()]
print(json.dumps({
    "policies": sorted({os.sched_getscheduler(one) for one in threads}),
    "nice": sorted({os.getpriority(os.PRIO_PROCESS, one) for one in threads}),
    "processors": sorted({len(os.sched_getaffinity(one)) for one in threads}),
    "before": before,
    "oom": int(pathlib.Path("/proc/self/oom_score_adj").read_text()),
}))
"""


def stepped_back(niceness: int, cpu_share: float) -> Any:
    command = [sys.executable, "-c", PROGRAM, str(niceness), str(cpu_share)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_every_thread_yields_those_that_were_there_before_too() -> None:
    found = stepped_back(19, 1.0)
    assert found["policies"] == [os.SCHED_IDLE]
    assert found["nice"] == [19]
    assert found["processors"] == [found["before"]]
    assert found["oom"] == 900


def test_a_lower_niceness_competes() -> None:
    found = stepped_back(5, 1.0)
    assert (found["policies"], found["nice"]) == ([os.SCHED_OTHER], [5])


def test_a_share_of_the_processors_is_one_at_least() -> None:
    found = stepped_back(0, 0.01)
    assert found["processors"] == [1]
    assert found["nice"] == [0]
