"""Workload `gil`: about 1 ms of pure Python a row, in two processes."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads.workload import Workload

ADDITIONS = 27_000  # about 1 ms of Python 3.11 on one core


def spin(x: np.ndarray) -> np.ndarray:
    """Add up numbers in Python for each row, which holds the interpreter's lock; return x + 1."""
    for _ in range(len(x)):
        total = 0
        for number in range(ADDITIONS):
            total += number
    return x + 1


def gil() -> Workload:
    """Return the workload."""
    return Workload(
        name="gil",
        model="spin",
        what="27,000 additions in pure Python (about 1 ms), one float, 2 worker processes",
        onnx=None,
        outputs=("y",),
        samples=({"x": np.array([[1.0]], np.float32)},),
        expected={"y": np.array([[2.0]], np.float32)},
        encodings=("json", "grpc"),
        processes=2,
    )
