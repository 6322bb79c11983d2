"""ONNX Runtime: a stack of matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks.engines.engine import BATCH_ROWS, Engine

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 1024
LAYERS = 6


def save_stack(path: Path) -> None:
    """Save `LAYERS` products of `WIDTH` by `WIDTH`, each with a ReLU, from `x` to `y`."""
    weight = np.random.default_rng(0).normal(0, 0.03, (WIDTH, WIDTH)).astype(np.float32)
    weights, nodes = [], []
    for i in range(LAYERS):
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("MatMul", ["x" if i == 0 else f"r{i}", f"w{i}"], [f"m{i}"]))
        end = "y" if i == LAYERS - 1 else f"r{i + 1}"
        nodes.append(helper.make_node("Relu", [f"m{i}"], [end]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "stack", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def make(version: Path) -> Engine:
    """Save the stack; run it in a session of one thread."""
    path = version / "model.onnx"
    save_stack(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = {"x": np.random.default_rng(1).normal(size=(BATCH_ROWS, WIDTH)).astype(np.float32)}
    return Engine(rows, lambda: session.run(None, rows))
