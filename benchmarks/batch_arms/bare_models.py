"""Both models of the batch benchmark without any server: what the floors and the peers call.

Needs numpy, onnxruntime and tokenizers only, so that it runs in each peer's environment.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

LABELS = np.array(["negative", "neutral", "positive"], dtype=object)
ROWS_PER_RUN = 8


def _session(path: Path, level: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class TweetModel:
    """Normalises, tokenises and judges texts, with the model's own rules, as its `model.py` does.

    Args:
        folder: the version's, with model.onnx, tokenizer.json and its modules.
    """

    def __init__(self, folder: str) -> None:
        from tokenizers import Tokenizer

        sys.dont_write_bytecode = True  # the model's folder is left as it is
        sys.path.insert(0, folder)
        from language import refusal_as_read, refusal_as_written
        from normalise import normalise
        from runs import runs_of_like_length

        self._cut = runs_of_like_length
        self._rules = (refusal_as_written, normalise, refusal_as_read)
        self._tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self._session = _session(Path(folder) / "model.onnx", "ORT_ENABLE_BASIC")

    def __call__(self, texts: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return labels (text) and scores, FP32 [rows, 3]; ValueError when one is refused."""
        found = [one.ids for one in self._tokenizer.encode_batch_fast(self._read(texts))]
        logits = np.empty((len(found), 3), np.float32)
        for chosen in self._cut([len(ids) for ids in found], ROWS_PER_RUN):
            ids = np.zeros((len(chosen), max(len(found[at]) for at in chosen)), np.int64)
            for row, at in enumerate(chosen):
                ids[row, : len(found[at])] = found[at]
            feed = {"ids": ids, "mask": (ids != 0).astype(np.int64)}
            (logits[chosen],) = self._session.run(None, feed)
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        return LABELS[scores.argmax(axis=1)], scores

    def _read(self, texts: Any) -> list[str]:
        as_written, normalise, as_read = self._rules
        read = []
        for text in texts:
            normal = normalise(text)
            if as_written(text) or as_read(normal):
                raise ValueError(f"a text is refused: {text}")
            read.append(normal)
        return read


class TabularModel:
    """The boosted trees that `benchmarks.models.make_trees` makes.

    Args:
        folder: the version's, with model.onnx.
    """

    def __init__(self, folder: str) -> None:
        self._session = _session(Path(folder) / "model.onnx", "ORT_ENABLE_ALL")

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels, INT64 [rows], and the probabilities, FP32 [rows, 2]."""
        label, probabilities = self._session.run(["label", "probabilities"], {"x": rows})
        return label, probabilities


MODELS = {"tweets": TweetModel, "tabular": TabularModel}
