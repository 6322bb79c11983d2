"""Train both versions of ``models/digits`` and write what the demo sends.

Run from anywhere, with the development dependencies installed: ``python examples/digits/train.py``.
Every choice is seeded, so the accuracies it prints are the same each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "models" / "digits"
FEW = 100
"""Samples the first version learns from."""
PICTURED = (3, 5, 8)
"""Digits written as PNG."""
OPSETS = {"": 17, "ai.onnx.ml": 3}


def main() -> None:
    """Train, export, print the accuracies on the held-out fifth."""
    pixels, digits = load_digits(return_X_y=True)
    seen, held_out, seen_digits, held_out_digits = train_test_split(
        pixels.astype(np.float32), digits, test_size=0.2, stratify=digits, random_state=0
    )
    first = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=1000))
    first.fit(seen[:FEW], seen_digits[:FEW])
    second = make_pipeline(
        MinMaxScaler(), MLPClassifier((64,), alpha=1e-3, max_iter=1000, random_state=0)
    )
    second.fit(seen, seen_digits)
    for version, model in ((1, first), (2, second)):
        path = export(model, MODEL / str(version) / "model.onnx")
        accuracy = model.score(held_out, held_out_digits)
        print(f"version {version}: accuracy {accuracy:.4f}, {path.stat().st_size:,} bytes")
    np.savez_compressed(
        HERE / "held_out.npz",
        pixels=held_out.astype(np.uint8),
        labels=held_out_digits.astype(np.uint8),
    )
    for digit in PICTURED:
        draw(held_out[held_out_digits == digit][0], HERE / f"digit-{digit}.png")
    draw(np.zeros(64), HERE / "blank.png")


def export(model: Any, path: Path) -> Path:
    """Write a fitted classifier as ONNX: ``pixels`` in, ``label`` and ``probabilities`` out."""
    graph = to_onnx(
        model,
        initial_types=[("pixels", FloatTensorType([None, 64]))],
        options={"zipmap": False},
        target_opset=OPSETS,
        name="digits",
    )
    shapes = {"pixels": ("batch", 64), "label": ("batch",), "probabilities": ("batch", 10)}
    for tensor in (*graph.graph.input, *graph.graph.output):
        shape = tensor.type.tensor_type.shape
        del shape.dim[:]
        for size in shapes[tensor.name]:
            dim = shape.dim.add()
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
    onnx.checker.check_model(graph, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, path)
    return path


def draw(pixels: np.ndarray, path: Path) -> None:
    """Write 64 values of 0..16 as a greyscale PNG of 64x64."""
    grey = np.round(pixels.reshape(8, 8) * 255 / 16).astype(np.uint8)
    Image.fromarray(np.kron(grey, np.ones((8, 8), np.uint8))).save(path, optimize=True)


if __name__ == "__main__":
    main()
