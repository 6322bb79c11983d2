"""OpenVINO: the same stack as ONNX Runtime's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino as ov

from benchmarks.engines.engine import BATCH_ROWS, Engine
from benchmarks.engines.onnx_engine import WIDTH, save_stack

if TYPE_CHECKING:
    from pathlib import Path


def make(version: Path) -> Engine:
    """Save the stack as ONNX; run it in one stream of one thread."""
    path = version / "model.onnx"
    save_stack(path)
    config = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = ov.Core()
    request = core.compile_model(core.read_model(path), "CPU", config).create_infer_request()
    rows = {"x": np.random.default_rng(1).normal(size=(BATCH_ROWS, WIDTH)).astype(np.float32)}
    return Engine(rows, lambda: request.infer(rows), {"runtime": "openvino"})
