"""Workload `minilm`: MiniLM-L6-v2 over sentences of mixed length; the model sets the pace."""

from __future__ import annotations

import numpy as np

from benchmarks.arms.minilm import MODEL, load_tokens
from benchmarks.workloads.onnx_answer import onnx_answer
from benchmarks.workloads.workload import Tensors, Workload


def minilm() -> Workload:
    """Return the workload; FileNotFoundError says how to make the model."""
    samples = tuple(_sample(ids) for ids in load_tokens())
    onnx = MODEL / "1" / "model.onnx"
    return Workload(
        name="minilm",
        model="minilm",
        what="all-MiniLM-L6-v2 (ONNX), one sentence of 7 to 75 tokens a request",
        onnx=onnx,
        outputs=("embedding",),
        samples=samples,
        expected=onnx_answer(onnx, samples[0]),
        encodings=("json", "binary", "grpc"),
        max_batch_size=4,
        processes=2,
    )


def _sample(ids: list[int]) -> Tensors:
    return {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, len(ids)), np.int64),
    }
