"""Make the tabular model of the batch benchmark: `.bench-models/trees/1/model.onnx`.

Boosted trees that tell two classes apart by 20 numbers a row: 100 trees of at most 31 leaves,
scikit-learn's defaults. Needs scikit-learn and skl2onnx:
``.venv/bin/python -m benchmarks.models.make_trees``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.places import MADE_MODELS

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = 20
TARGET = MADE_MODELS / "trees" / "1" / "model.onnx"


def make_trees(path: Path) -> None:
    """Train on 20,000 made rows and write the model as ONNX to `path`.

    Input `x` FP32 [-1, 20]; outputs `label` INT64 [-1], `probabilities` FP32 [-1, 2].
    """
    import onnx
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import make_classification
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, classes = make_classification(20_000, FEATURES, n_informative=12, random_state=0)
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    model.fit(rows.astype("float32"), classes)
    kinds = [("x", FloatTensorType([None, FEATURES]))]
    converted = convert_sklearn(model, initial_types=kinds, options={id(model): {"zipmap": False}})
    for node in converted.graph.node:
        node.output[:] = ["label" if name == "output_label" else name for name in node.output]
    for output in converted.graph.output:
        output.name = "label" if output.name == "output_label" else output.name
        output.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.checker.check_model(converted)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(converted, str(path))


if __name__ == "__main__":
    make_trees(TARGET)
    print(f"wrote {TARGET}")
    sys.exit(0)
