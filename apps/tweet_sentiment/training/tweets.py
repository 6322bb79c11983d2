"""The data: tweets of SemEval-2017 task 4 A as normalised texts and labels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

MODEL = Path(__file__).parents[3] / "models" / "tweet-sentiment" / "1"
"""The served version, whose own files say how a tweet is read."""
LABELS = ("negative", "neutral", "positive")


class Tweets(NamedTuple):
    """Tweets in the order of their file.

    Attributes:
        texts: as written.
        labels: INT64 [n], positions in ``LABELS``.
    """

    texts: list[str]
    labels: np.ndarray


def read_tweets(path: Path) -> Tweets:
    """Read a tab-separated file of id, label and text; raises ValueError at a broken line."""
    texts, labels = [], []
    for number, line in enumerate(path.read_text("utf-8").rstrip("\n").split("\n"), 1):
        fields = line.split("\t", 2)
        if len(fields) != 3 or fields[1] not in LABELS:
            raise ValueError(f"{path.name}, line {number}: expected id, label and text")
        texts.append(fields[2])
        labels.append(LABELS.index(fields[1]))
    return Tweets(texts, np.array(labels, np.int64))


def served_normalise() -> Callable[[str], str]:
    """Return the served version's own ``normalise``, so that training cannot drift from it."""
    spec = importlib.util.spec_from_file_location("served_normalise", MODEL / "normalise.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{MODEL / 'normalise.py'} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    normalise: Callable[[str], str] = module.normalise
    return normalise


def macro_recall(labels: np.ndarray, found: np.ndarray) -> float:
    """Return the mean over the classes of the share of its tweets that were found, in 0..1."""
    return float(np.mean([(found[labels == c] == c).mean() for c in range(len(LABELS))]))
