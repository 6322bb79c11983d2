"""Sentiment by author and over time: counted once, kept, rebuilt, forgotten."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from apps.tweet_sentiment.ledger import Ledger
from penstock.stores.backend import Increment
from penstock.stores.open_backend import open_backend
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions
from tests.apps.tweet_sentiment.doubles import (
    DAY,
    HOUR,
    NOON,
    FakePredictor,
    Service,
    a_tweet,
    serving,
    url_of,
)

ANN = [
    a_tweet(1, "bad start", at=NOON - 2 * DAY),
    a_tweet(2, "meh", at=NOON - DAY),
    a_tweet(3, "good", at=NOON),
    a_tweet(4, "good again", at=NOON + HOUR),
]
BOB = [a_tweet(number, "bad", author="Bob_B", at=NOON) for number in (11, 12, 13)]
CYD = [a_tweet(21, "good", author="cyd", at=NOON - 10 * DAY)]
EVERYBODY = [*ANN, *BOB, *CYD]


async def predict(service: Service, tweets: list[Any]) -> None:
    for tweet in tweets:
        assert (await service.by_url(url_of(tweet))).status_code == 200


async def ranks(service: Service, **params: Any) -> list[str]:
    body = (await service.get("/authors/top", **params)).json()
    return [row["author"] for row in body["authors"]]


async def test_counts_mean_and_trend_by_day() -> None:
    async with serving(EVERYBODY) as service:
        await predict(service, ANN)
        body = (await service.get("/authors/@ANN/sentiment")).json()
        assert body["author"] == "ann"
        assert body["counts"] == {"negative": 1, "neutral": 1, "positive": 2, "total": 4}
        assert body["meanScore"] == pytest.approx((-0.75 + 0 + 0.75 + 0.75) / 4)
        assert body["trend"]["direction"] == "rising"
        assert [bucket["start"] for bucket in body["buckets"]] == [
            "2025-11-19T00:00:00Z",
            "2025-11-20T00:00:00Z",
            "2025-11-21T00:00:00Z",
        ]
        assert body["buckets"][2]["counts"]["positive"] == 2


async def test_by_hour_and_in_a_time_frame() -> None:
    async with serving(EVERYBODY) as service:
        await predict(service, ANN)
        params = {
            "bucket": "hour",
            "since": "2025-11-21T12:00:00Z",
            "until": "2025-11-21T13:00:00Z",
        }
        body = (await service.get("/authors/ann/sentiment", **params)).json()
        assert body["counts"]["total"] == 1
        assert body["trend"] is None
        nothing = {"since": "2020-01-01T00:00:00Z", "until": "2020-02-01T00:00:00+02:00"}
        body = (await service.get("/authors/ann/sentiment", **nothing)).json()
        assert (body["counts"]["total"], body["meanScore"], body["buckets"]) == (0, None, [])


async def test_top_authors_most_active_positive_negative() -> None:
    async with serving(EVERYBODY) as service:
        await predict(service, EVERYBODY)
        assert await ranks(service) == ["ann", "Bob_B", "cyd"]
        assert await ranks(service, sort="positive") == ["cyd", "ann", "Bob_B"]
        assert await ranks(service, sort="negative") == ["Bob_B", "ann", "cyd"]
        assert await ranks(service, sort="positive", minCount=3) == ["ann", "Bob_B"]
        assert await ranks(service, limit=1) == ["ann"]
        hours = {"since": "2025-11-21T12:30:00Z", "until": "2025-11-21T12:40:00Z"}
        assert await ranks(service, **hours) == ["Bob_B", "ann"]
        days = {"since": "2025-11-19T12:00:00Z", "until": "2025-11-21T12:00:00Z"}
        assert await ranks(service, **days) == ["ann"]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/authors/nobody/sentiment", {}, 404),
        ("/authors/not-a-handle!/sentiment", {}, 422),
        ("/authors/ann/sentiment", {"bucket": "week"}, 422),
        ("/authors/ann/sentiment", {"since": "yesterday"}, 422),
        ("/authors/ann/sentiment", {"since": "2025-02-01", "until": "2025-01-01"}, 422),
        ("/authors/ann/sentiment", {"bucket": "hour", "since": "2020-01-01"}, 422),
        ("/authors/top", {"sort": "loudest"}, 422),
        ("/authors/top", {"minCount": 0}, 422),
        ("/authors/top", {"limit": 1000}, 422),
    ],
)
async def test_what_makes_no_sense_is_a_problem(path: str, params: Any, status: int) -> None:
    async with serving(EVERYBODY) as service:
        await predict(service, ANN)
        response = await service.get(path, **params)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


async def total_of(service: Service) -> int:
    body = (await service.get("/authors/ann/sentiment")).json()
    return int(body["counts"]["total"])


async def test_a_tweet_predicted_twice_is_counted_once() -> None:
    async with serving(EVERYBODY) as service:
        await predict(service, ANN + ANN)
        service.predictor.version = 2  # a new version predicts it anew
        await predict(service, ANN)
        assert await total_of(service) == 4
        [counters] = await counters_of(service)
        assert sum(v for f, v in counters.items() if f[0] == "d" and "score" not in f) == 4


async def counters_of(service: Service) -> list[dict[str, int]]:
    await asyncio.wait_for(settled(service), 5)
    backend = service.parts.ledger._backend
    return await backend.counters(["a:tweet-sentiment:ann:"])


async def settled(service: Service) -> None:
    stores = service.parts.tally._stores
    for store in stores:
        assert await store.drain(5) == 0


async def test_two_tweets_with_one_text_are_two_tweets() -> None:
    twins = [a_tweet(1, "good"), a_tweet(2, "good")]
    async with serving(twins) as service:
        await predict(service, twins)
        assert await total_of(service) == 2


async def test_counts_outlive_the_process() -> None:
    backend = Lasting(open_backend("memory://"))
    async with serving(EVERYBODY, backend=backend) as service:
        await predict(service, EVERYBODY)
        before = (await service.get("/authors/top")).json()
    async with serving(EVERYBODY, backend=backend) as service:
        assert (await service.get("/authors/top")).json() == before
        await predict(service, EVERYBODY)
        assert service.predictor.asked == []
        assert (await service.get("/authors/top")).json() == before


class Lasting:
    """A memory store that a service cannot close, as a server is."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def close(self) -> None:
        pass


async def test_rebuilding_mends_counters_lines_and_authors() -> None:
    backend = Lasting(open_backend("memory://"))
    async with serving(EVERYBODY, backend=backend) as service:
        await predict(service, EVERYBODY)
        before = (await service.get("/authors/top")).json()
    await backend.increment([Increment("a:tweet-sentiment:ann:", "d:1:positive", 7)])
    await backend.clear("a:tweet-sentiment:bob_b:")  # counters lost
    for kind in "eaw":
        await backend.clear(f"{kind}:tweet-sentiment:cyd:")  # only the prediction is left
    store = PredictionStore(backend, PredictionStoreOptions(ttl_s=None))
    ledger = Ledger(store, "tweet-sentiment")
    assert await ledger.rebuild() == len(EVERYBODY)
    assert await ledger.rebuild() == len(EVERYBODY)
    async with serving(EVERYBODY, backend=backend) as service:
        assert (await service.get("/authors/top")).json() == before
        assert await total_of(service) == 4


async def test_incremental_counts_are_those_of_a_rebuild() -> None:
    numbers = random.Random(3)
    moods = ("bad", "meh", "good")
    tweets = [
        a_tweet(
            number,
            numbers.choice(moods),
            author=f"a{numbers.randrange(9)}",
            at=NOON - numbers.randrange(20 * DAY),
        )
        for number in range(1, 400)
    ]
    backend = Lasting(open_backend("memory://"))
    async with serving(tweets, backend=backend) as service:
        await predict(service, tweets)
        before = service.parts.ledger.board.totals(0, 2**33).tolist()
    ledger = Ledger(PredictionStore(backend, PredictionStoreOptions(ttl_s=None)), "tweet-sentiment")
    await ledger.load()
    assert sorted(zip(*ledger.board.totals(0, 2**33).tolist(), strict=True)) == sorted(
        zip(*before, strict=True)
    )
    corrections: list[Any] = []
    backend._backend.increment = corrections.append
    await ledger.rebuild()
    assert corrections == []


async def test_forgetting_an_author_is_for_the_superuser() -> None:
    async with serving(EVERYBODY) as service:
        await predict(service, EVERYBODY)
        await settled(service)
        delete = service.client.delete
        path = "/api/v1/cache"
        anonymous = await delete(path, params={"author": "ann"})
        assert anonymous.status_code == 401
        assert anonymous.headers["www-authenticate"].startswith("Basic")
        user = ("admin", "changethis")
        assert (await delete(path, auth=user)).status_code == 422
        response = await delete(path, params={"author": "@Ann"}, auth=user)
        assert response.json() == {"author": "Ann", "predictions": 4}
        assert "ann" not in await ranks(service)
        assert await ranks(service) == ["Bob_B", "cyd"]
        await predict(service, ANN)
        assert await total_of(service) == 4
        assert len(service.predictor.asked) == len(EVERYBODY) + 4


async def test_guessing_the_password_is_limited() -> None:
    async with serving() as service:
        delete = service.client.delete
        params = {"author": "ann"}
        for _ in range(5):
            wrong = await delete("/api/v1/cache", params=params, auth=("admin", "guess"))
            assert wrong.status_code == 401
        stopped = await delete("/api/v1/cache", params=params, auth=("admin", "changethis"))
        assert stopped.status_code == 429
        assert 0 < int(stopped.headers["retry-after"]) <= 60
        assert stopped.headers["content-type"] == "application/problem+json"


async def test_a_slow_or_broken_store_fails_no_prediction() -> None:
    class Broken(Lasting):
        def __getattr__(self, name: str) -> Any:
            async def fail(*_: Any, **__: Any) -> Any:
                raise ConnectionError("gone")

            return fail if name != "close" else super().__getattr__(name)

        async def scan(self, prefix: str, *, page: int = 1000) -> Any:
            from penstock.core.errors import StoreError

            raise StoreError("gone")
            yield []

    predictor = FakePredictor()
    async with serving(
        EVERYBODY, backend=Broken(None), predictor=predictor, drain_timeout_s=0
    ) as service:
        await predict(service, EVERYBODY)
        assert await ranks(service) == ["ann", "Bob_B", "cyd"]
