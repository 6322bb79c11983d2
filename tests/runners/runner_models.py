"""Models and rows that every runner is asked about, and what it has to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"

WORDS = '''
"""Counts letters; refuses an empty text by itself, and a whole batch with a bomb in it."""

import os
from pathlib import Path
from typing import TypedDict

from penstock import InvalidInput, Model


class Counted(TypedDict):
    letters: int
    loud: str


class Words(Model):
    def load(self, context):
        with (Path(__file__).parent / "loads").open("a") as loads:
            loads.write(f"{os.getpid()}\\n")

    def predict(self, text: list[str]) -> list[Counted]:
        for index, line in enumerate(text):
            if not line:
                raise InvalidInput(index, "an empty text")
        if "bomb" in text:
            raise RuntimeError("a bomb")
        return [{"letters": len(line), "loud": line.upper()} for line in text]
'''


def words_model(folder: Path) -> Path:
    """A model that refuses rows in the two ways a model may."""
    path = folder / "words.py"
    path.write_text(WORDS)
    return path


def loads(folder: Path) -> list[str]:
    """The processes that have loaded it, once for each load."""
    return (folder / "loads").read_text().split()


def digits() -> tuple[pa.Table, np.ndarray]:
    """The held-out digits as rows, and what bare ONNX Runtime says they are."""
    import onnxruntime

    with np.load(ROOT / "examples/digits/held_out.npz") as held_out:
        pixels = held_out["pixels"].astype(np.float32)
    session = onnxruntime.InferenceSession(str(MODELS / "digits/1/model.onnx"))
    label = session.run(None, {session.get_inputs()[0].name: pixels})[0]
    flat = pa.FixedSizeListArray.from_arrays(pixels.reshape(-1), pixels.shape[1])
    table = pa.table({"id": np.arange(len(pixels)), "pixels": flat})
    return table, np.asarray(label)
