"""The sentiment of a tweet: negative, neutral or positive, with a score for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from penstock import InvalidInput, Model, ModelContext, Rows

from .language import refusal_as_read, refusal_as_written
from .normalise import normalise
from .runs import runs_of_like_length

Scores = Rows["FP32", 3]

LABELS = ("negative", "neutral", "positive")


@dataclass
class Sentiment:
    """What a tweet expresses.

    Attributes:
        label: the likeliest of ``LABELS``.
        scores: the probability of each, in their order.
    """

    label: str
    scores: Scores


class TweetSentiment(Model):
    """Normalises and tokenises tweets, asks the network, answers with all three scores.

    ``runtime_options``: ``threads`` of one instance's engine (default 1) and ``rows_per_run``,
    the most tweets one run of the engine takes (default 8): a batch is cut into runs of like
    length, so that little is computed for padding.
    """

    def load(self, context: ModelContext) -> None:
        """Read tokenizer and network from the version's folder."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(context.options.get("threads", 1))
        # The graph is fused already; further fusing slows its norms down several times.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._rows = int(context.options.get("rows_per_run", 8))
        self._tokenizer = Tokenizer.from_file(str(context.path / "tokenizer.json"))
        self._session = ort.InferenceSession(
            str(context.path / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def preprocess(self, text: list[str]) -> list[list[int] | InvalidInput]:
        """Turn each tweet into the ids of its pieces; refuse what cannot be judged."""
        checked = [_checked(index, one) for index, one in enumerate(text)]
        good = [one for one in checked if isinstance(one, str)]
        found = iter(self._tokenizer.encode_batch_fast(good))
        return [next(found).ids if isinstance(one, str) else one for one in checked]

    def predict(self, pieces: list[list[int]]) -> list[np.ndarray]:
        """Return three logits for each list of ids."""
        logits = np.empty((len(pieces), len(LABELS)), np.float32)
        for chosen in runs_of_like_length([len(ids) for ids in pieces], self._rows):
            (logits[chosen],) = self._session.run(None, _feed([pieces[at] for at in chosen]))
        return list(logits)

    def postprocess(self, logits: list[np.ndarray]) -> list[Sentiment]:
        """Turn logits into probabilities and the likeliest label."""
        rows = np.stack(logits)
        scores = np.exp(rows - rows.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1).tolist()
        return [Sentiment(LABELS[at], row) for at, row in zip(best, scores, strict=True)]

    def close(self) -> None:
        """Let go of the network."""
        del self._session


def _checked(index: int, text: str) -> str | InvalidInput:
    """Return the normalised tweet, or why it is not judged."""
    reason = refusal_as_written(text)
    if reason is None:
        text = normalise(text)
        reason = refusal_as_read(text)
    return text if reason is None else InvalidInput(index, reason)


def _feed(rows: list[list[int]]) -> dict[str, np.ndarray]:
    """Pad ids with 0 to the longest; the mask is 1 where a piece is."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    return {"ids": ids, "mask": (ids != 0).astype(np.int64)}
