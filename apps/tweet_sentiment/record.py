"""Record: a prediction as it is kept, its key, and the line that says a tweet was counted."""

from __future__ import annotations

import msgspec

from apps.tweet_sentiment.predictor import Prediction
from apps.tweet_sentiment.sources.source import Tweet
from penstock.stores.prediction_store import prediction_key

_FORMAT = "1"
"""Changes whenever ``Record`` does: what an older service kept is then simply missed."""


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One kept prediction.

    Attributes:
        label: position in ``LABELS``.
        scores: one probability per label.
        tweet_id, author, created_s, text: the tweet; all empty for a bare text.
    """

    label: int
    scores: tuple[float, float, float]
    tweet_id: str = ""
    author: str = ""
    created_s: int = 0
    text: str = ""


class Line(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A tweet that was counted.

    Attributes:
        author: the handle, in the author's letters.
        created_s: when it was written.
        label: position in ``LABELS``.
        score_e4: its score, in ten-thousandths.
    """

    author: str
    created_s: int
    label: int
    score_e4: int


def tweet_key(model: str, version: int, tweet_id: str) -> str:
    """The key of a tweet's prediction. A tweet's id stands for its text: edits get a new id."""
    return prediction_key(model, version, f"{_FORMAT}:tweet:{tweet_id}".encode())


def text_key(model: str, version: int, text: str) -> str:
    """The key of a bare text's prediction; the text is canonical."""
    canonical = f"{_FORMAT}:text:{text}".encode(errors="surrogatepass")
    return prediction_key(model, version, canonical)


def record_of(prediction: Prediction, tweet: Tweet | None = None) -> Record:
    """The record of a prediction."""
    if tweet is None:
        return Record(prediction.label, prediction.scores)
    return Record(prediction.label, prediction.scores, *_tweet_fields(tweet))


def line_of(record: Record) -> Line:
    """The line of a tweet's record."""
    score = record.scores[2] - record.scores[0]
    return Line(record.author, record.created_s, record.label, round(score * 10_000))


def encode(value: Record | Line) -> bytes:
    """As bytes."""
    return msgspec.msgpack.encode(value)


def decode(value: bytes) -> Record | None:
    """Back from bytes; None: these are no record's."""
    try:
        return msgspec.msgpack.decode(value, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def decode_line(value: bytes) -> Line | None:
    """Back from bytes; None: these are no line's."""
    try:
        return msgspec.msgpack.decode(value, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _tweet_fields(tweet: Tweet) -> tuple[str, str, int, str]:
    return tweet.id, tweet.author, tweet.created_s, tweet.text
