"""Answer and time tweets with a graph in ONNX Runtime, batched as the served model does it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from apps.tweet_sentiment.training.shrink import feed

Answer = Callable[[list[list[int]]], np.ndarray]
"""Token ids of a few tweets to logits FP32 [tweets, 3]."""


class Speed(NamedTuple):
    """How fast one thread answers, by the processor's time: what else runs is not counted.

    Attributes:
        p50_ms: of one tweet alone, median over tweets of all lengths.
        tweets_s: of many tweets, sorted by length.
    """

    p50_ms: float
    tweets_s: float


def session(path: Path, threads: int = 1) -> Answer:
    """Return a function that runs the graph."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if is_final(path):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    made = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(rows: list[list[int]]) -> np.ndarray:
        logits: np.ndarray = made.run(None, feed(rows))[0]
        return logits

    return run


def is_final(path: Path) -> bool:
    """Whether the graph is already as we want it and shall not be fused further."""
    return path.stem.startswith(("apart", "int8"))


def in_runs(run: Answer, tokens: list[list[int]], rows: int = 16) -> np.ndarray:
    """Return logits FP32 [tweets, 3] in the order of ``tokens``, computed sorted by length."""
    order = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
    logits = np.empty((len(tokens), 3), np.float32)
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        logits[chosen] = run([tokens[at] for at in chosen])
    return logits


def speed(run: Answer, tokens: list[list[int]], *, singles: int = 60) -> Speed:
    """Time a one-threaded function on tweets, once; the first ``singles`` of them alone as well."""
    in_runs(run, tokens[:32])
    alone = []
    for row in tokens[:singles]:
        started = time.process_time()
        run([row])
        alone.append(time.process_time() - started)
    started = time.process_time()
    in_runs(run, tokens)
    took = time.process_time() - started
    return Speed(statistics.median(alone) * 1000, len(tokens) / took)
