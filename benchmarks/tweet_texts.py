"""The tweets that are sent, and the requests that carry them to each server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.messages import HttpRequest
from benchmarks.places import BENCHMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

TWEETS = BENCHMARKS / "corpus" / "tweets.txt"


def load_tweets() -> list[str]:
    """Return the tweets of the corpus, in its order."""
    return [line for line in TWEETS.read_text().splitlines() if line]


def distinct(tweets: Sequence[str], count: int, first: int) -> list[str]:
    """Return `count` texts of which no two are alike, numbered from `first` on."""
    return [f"{tweets[at % len(tweets)]} no{first + at}" for at in range(count)]


def v2_request(model: str, texts: Sequence[str]) -> HttpRequest:
    """Return the V2 JSON request of `texts`, one a row."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    body = json.dumps({"inputs": [tensor]}, ensure_ascii=False).encode()
    return HttpRequest(f"/v2/models/{model}/infer", body)


def text_request(path: str, text: str) -> HttpRequest:
    """Return the request that carries one text as ``{"text": ...}``."""
    return HttpRequest(path, json.dumps({"text": text}, ensure_ascii=False).encode())


def rows(tweets: Sequence[str], count: int) -> list[list[str]]:
    """Return the tweets in groups of `count`; what is left over is dropped."""
    return [list(tweets[at : at + count]) for at in range(0, len(tweets) - count + 1, count)]
