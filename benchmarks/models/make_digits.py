"""Make a digits classifier where the shipped one is missing: `.bench-models/digits/1/model.onnx`.

Needs scikit-learn and skl2onnx: ``.venv/bin/python -m benchmarks.models.make_digits``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.places import MADE_MODELS

if TYPE_CHECKING:
    from pathlib import Path


def make_digits(path: Path) -> None:
    """Train a small network on scikit-learn's digits and write it as ONNX to `path`.

    Input `pixels` FP32 [-1, 64]; outputs `label` INT64 [-1], `probabilities` FP32 [-1, 10].
    """
    import onnx
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    digits = load_digits()
    model = MLPClassifier((32,), max_iter=300, random_state=0)
    model.fit(digits.data.astype("float32"), digits.target)
    kinds = [("pixels", FloatTensorType([None, 64]))]
    converted = convert_sklearn(model, initial_types=kinds, options={id(model): {"zipmap": False}})
    for node in converted.graph.node:
        for names in (node.input, node.output):
            names[:] = ["label" if name == "output_label" else name for name in names]
    for output in converted.graph.output:
        output.name = "label" if output.name == "output_label" else output.name
    onnx.checker.check_model(converted)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(converted, str(path))


if __name__ == "__main__":
    target = MADE_MODELS / "digits" / "1" / "model.onnx"
    make_digits(target)
    print(f"wrote {target}")
    sys.exit(0)
