"""A tiny model with the signature of the real one: it looks for two words."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from penstock import Model, Rows

Texts = Rows["BYTES"]
Scores = Rows["FP32", 3]
LABELS = np.array([b"negative", b"neutral", b"positive"], dtype=object)


class Sentiment(TypedDict):
    """As in ``models/tweet-sentiment``."""

    label: Texts
    scores: Scores


class Words(Model):
    """Says positive for ``love``, negative for ``hate``."""

    def predict(self, text: Texts) -> Sentiment:
        """One row of scores per text."""
        weights = [[1 + 8 * (b"hate" in t), 3, 1 + 8 * (b"love" in t)] for t in text]
        scores = np.array(weights, np.float32)
        scores /= scores.sum(axis=1, keepdims=True)
        return {"label": LABELS[scores.argmax(axis=1)], "scores": scores}
