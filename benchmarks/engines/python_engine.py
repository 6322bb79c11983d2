"""A Python model: NumPy's matrix products, which release the interpreter."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engines.engine import BATCH_ROWS, Engine

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 1024
LAYERS = 6
CODE = f"""
import numpy as np

from penstock import Model, Rows

weight = np.random.default_rng(0).normal(0, 0.03, ({WIDTH}, {WIDTH})).astype(np.float32)


class Stack(Model):
    def predict(self, x: Rows["FP32", {WIDTH}]) -> Rows["FP32", {WIDTH}]:
        for _ in range({LAYERS}):
            x = np.maximum(x @ weight, 0)
        return x
"""


def make(version: Path) -> Engine:
    """Write the model; run the same products. BLAS has one thread: see `benchmarks.runtimes`."""
    (version / "model.py").write_text(dedent(CODE))
    weight = np.random.default_rng(0).normal(0, 0.03, (WIDTH, WIDTH)).astype(np.float32)
    array = np.random.default_rng(1).normal(size=(BATCH_ROWS, WIDTH)).astype(np.float32)

    def run() -> object:
        x = array
        for _ in range(LAYERS):
            x = np.maximum(x @ weight, 0)
        return x

    return Engine({"x": array}, run)
