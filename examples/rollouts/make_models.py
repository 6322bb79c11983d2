"""Write the broken version of the digits that the demo rolls back.

Run from anywhere, with the development dependencies installed: ``python
examples/rollouts/make_models.py``. It is version 2 of ``models/digits`` with a calibration behind
it: a factor for each amount of ink, looked up in a table that was made from lighter pictures. The
darkest pictures lie beyond its end, and the engine refuses them. Nothing notices that before real
requests come: the file is valid, loads, and answers most pictures as it should.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BROKEN = HERE / "models" / "3" / "model.onnx"
INK_PER_ENTRY = 8.0
LOST_RATIO = 0.05
"""The part of the pictures that the table does not reach."""


def main() -> None:
    """Write the file, and print what it refuses."""
    with np.load(ROOT / "examples" / "digits" / "held_out.npz") as held_out:
        ink = np.floor(held_out["pixels"].sum(axis=1) / INK_PER_ENTRY).astype(int)
    num_entries = int(np.quantile(ink, 1 - LOST_RATIO)) + 1
    graph = calibrated(ROOT / "models" / "digits" / "2" / "model.onnx", num_entries)
    BROKEN.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, BROKEN)
    lost = int((ink >= num_entries).sum())
    print(f"{BROKEN.relative_to(ROOT)}: refuses {lost} of {len(ink)} held-out pictures")


def calibrated(path: Path, num_entries: int) -> onnx.ModelProto:
    """A classifier of digits whose probabilities are weighted by a table of the picture's ink."""
    model = onnx.load(path)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == "probabilities":
                    names[index] = "raw_probabilities"
    factors = np.linspace(0.98, 1.0, num_entries, dtype=np.float32).reshape(-1, 1)
    for name, value in {
        "ink_axis": np.array([1], np.int64),
        "ink_per_entry": np.array(INK_PER_ENTRY, np.float32),
        "calibration": factors,
    }.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.node.extend(
        [
            helper.make_node("ReduceSum", ["pixels", "ink_axis"], ["ink"], keepdims=0),
            helper.make_node("Div", ["ink", "ink_per_entry"], ["ink_entries"]),
            helper.make_node("Cast", ["ink_entries"], ["entry"], to=onnx.TensorProto.INT64),
            helper.make_node("Gather", ["calibration", "entry"], ["factor"]),
            helper.make_node("Mul", ["raw_probabilities", "factor"], ["probabilities"]),
        ]
    )
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    main()
