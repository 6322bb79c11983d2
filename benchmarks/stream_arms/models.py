"""The models of the streams benchmark in a bare loop; needs numpy, onnxruntime and tokenizers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "batch_arms"))

import numpy as np
import onnxruntime
from bare_models import TweetModel


class Tweets:
    """The tweet model.

    Args:
        folder: the version's.
    """

    def __init__(self, folder: str) -> None:
        self._model = TweetModel(folder)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return label and scores of each row's `text`."""
        labels, scores = self._model([row["text"] for row in rows])
        pairs = zip(labels.tolist(), scores.tolist(), strict=True)
        return [{"label": label, "scores": one} for label, one in pairs]


class Digits:
    """The tiny model.

    Args:
        folder: the version's.
    """

    def __init__(self, folder: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return label and probabilities of each row's `pixels`."""
        pixels = np.array([row["pixels"] for row in rows], np.float32)
        label, probabilities = self._session.run(["label", "probabilities"], {"pixels": pixels})
        pairs = zip(label.tolist(), probabilities.tolist(), strict=True)
        return [{"label": one, "probabilities": many} for one, many in pairs]


MODELS = {"tweets": Tweets, "tiny": Digits}
