"""The workers of a floor side by side, as threads or as processes: no server, no queue of work."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any


def side_by_side(plan: Any, work: Callable[..., None]) -> list[Any]:
    """Return what each of `plan.workers` reports; `plan.kind` is "threads" or "processes".

    `work` is called with the plan, the worker's number, a barrier that all of them wait at, and
    what takes its report.

    Raises RuntimeError when a worker failed; its own message is on standard error.
    """
    found: list[Any] = []
    if plan.kind == "threads":
        start, barrier, report = threading.Thread, threading.Barrier(plan.workers), found.append
    else:
        spawn = multiprocessing.get_context("spawn")
        queue = spawn.SimpleQueue()
        start, barrier, report = spawn.Process, spawn.Barrier(plan.workers), queue.put
    told = [(plan, number, barrier, report) for number in range(plan.workers)]
    runs: list[Any] = [start(target=work, args=one) for one in told]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    if plan.kind != "threads":
        found = [queue.get() for run in runs if run.exitcode == 0]
    if len(found) < plan.workers:
        raise RuntimeError(f"{plan.workers - len(found)} of {plan.workers} workers failed")
    return found
