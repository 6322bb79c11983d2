"""Stand-ins: a predictor that counts, settings for tests, and the application over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from apps.tweet_sentiment.app import create_app
from apps.tweet_sentiment.parts import Parts, assembled
from apps.tweet_sentiment.predictor import Prediction, Refusal
from apps.tweet_sentiment.settings import Settings
from apps.tweet_sentiment.sources.archive import ArchiveSource
from apps.tweet_sentiment.sources.source import Tweet, TweetSource
from penstock.stores.backend import Backend
from penstock.stores.open_backend import open_backend

NOON = 1_763_726_400  # 2025-11-21T12:00:00Z
HOUR = 3600
DAY = 24 * HOUR
MOODS = {
    "bad": Prediction(0, (0.8, 0.15, 0.05)),
    "meh": Prediction(1, (0.1, 0.8, 0.1)),
    "good": Prediction(2, (0.05, 0.15, 0.8)),
}


class FakePredictor:
    """Reads the mood off the text's first word; counts what it is asked."""

    model = "tweet-sentiment"

    def __init__(self) -> None:
        self.version = 1
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.fails_with: Exception | None = None

    async def predict(self, texts: Sequence[str]) -> list[Prediction | Refusal]:
        self.asked += texts
        self.was_asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails_with is not None:
            raise self.fails_with
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Prediction | Refusal:
        if text.startswith("refuse"):
            return Refusal("the model cannot read this")
        return MOODS.get(text.split()[0], MOODS["meh"])


def a_tweet(number: int, text: str = "good day", *, author: str = "ann", at: int = NOON) -> Tweet:
    return Tweet(str(number), author, at, text)


def url_of(tweet: Tweet) -> str:
    return f"https://x.com/{tweet.author}/status/{tweet.id}"


def settings_from(env_file: Path | None, **values: Any) -> Settings:
    return Settings(_env_file=env_file, **values)  # type: ignore[call-arg]


def a_settings(**values: Any) -> Settings:
    plain: Mapping[str, Any] = {"predict_on_start": 0, "store_url": "memory://", **values}
    return settings_from(None, **plain)


class Service:
    """The application, a client of it, and its parts."""

    def __init__(self, parts: Parts, client: httpx.AsyncClient, predictor: FakePredictor) -> None:
        self.parts = parts
        self.client = client
        self.predictor = predictor

    async def by_url(self, url: str) -> httpx.Response:
        return await self.client.get("/api/v1/inference", params={"tweetUrl": url})

    async def post(self, body: Any) -> httpx.Response:
        return await self.client.post("/api/v1/inference", json=body)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1{path}", params=params)


@asynccontextmanager
async def serving(
    tweets: Sequence[Tweet] = (),
    *,
    source: TweetSource | None = None,
    backend: Backend | None = None,
    predictor: FakePredictor | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    predictor = predictor or FakePredictor()
    effective = a_settings(**settings)
    async with assembled(
        effective,
        predictor,
        source or ArchiveSource(tweets),
        backend or open_backend("memory://"),
    ) as parts:
        app = create_app(parts, now=lambda: float(NOON + DAY))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Service(parts, client, predictor)
