"""Asking for a sentiment: by URL, by text, by a list; good input, bad input, twice."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from apps.tweet_sentiment.http_frame import MAX_BODY_BYTES
from apps.tweet_sentiment.sources.source import (
    AuthorSuspended,
    Pages,
    SourceDenied,
    SourceError,
    SourceRateLimited,
    SourceTimeout,
    SourceUnavailable,
    Tweet,
    TweetProtected,
    Window,
)
from penstock.core.errors import DeadlineExceeded, ModelFailed, NotReady, Overloaded, PenstockError
from tests.apps.tweet_sentiment.doubles import FakePredictor, a_tweet, serving, url_of

TWEET = a_tweet(20, "good morning")


def problem_of(response: httpx.Response, kind: str) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert body["type"] == f"urn:tweet-sentiment:{kind}"
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["instance"] == response.headers["x-request-id"]
    return body


async def test_a_tweet_by_its_url() -> None:
    async with serving([TWEET]) as service:
        response = await service.by_url(url_of(TWEET))
        assert response.status_code == 200
        assert response.json() == {
            "label": "positive",
            "score": 0.75,
            "probabilities": {"negative": 0.05, "neutral": 0.15, "positive": 0.8},
            "modelVersion": 1,
            "cached": False,
            "tweet": {
                "id": "20",
                "author": "ann",
                "createdAt": "2025-11-21T12:00:00Z",
                "text": "good morning",
            },
        }
        assert float(response.headers["x-process-time"]) > 0


async def test_the_second_answer_is_the_first_from_the_store() -> None:
    async with serving([TWEET]) as service:
        first = (await service.by_url(url_of(TWEET))).json()
        again = (await service.by_url(f"https://twitter.com/i/web/status/{TWEET.id}?s=20")).json()
        assert again == first | {"cached": True}
        assert service.predictor.asked == ["good morning"]
        assert (service.parts.tally.hits, service.parts.tally.misses) == (1, 1)


async def test_a_new_model_version_computes_anew() -> None:
    async with serving([TWEET]) as service:
        await service.by_url(url_of(TWEET))
        service.predictor.version = 2
        assert (await service.by_url(url_of(TWEET))).json()["modelVersion"] == 2
        assert len(service.predictor.asked) == 2


async def test_concurrent_requests_for_one_tweet_compute_once() -> None:
    async with serving([TWEET]) as service:
        service.predictor.gate = asyncio.Event()
        asking = [asyncio.create_task(service.by_url(url_of(TWEET))) for _ in range(20)]
        await service.predictor.was_asked.wait()
        service.predictor.gate.set()
        answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {200}
        assert len(service.predictor.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/ann/status/20",
        "https://x.com/ann",
        "https://x.com/ann/status/",
        "https://x.com/ann/status/99999999999999999999",
        "no url",
    ],
)
async def test_what_is_no_tweets_url_is_422(url: str) -> None:
    async with serving([TWEET]) as service:
        response = await service.by_url(url)
        assert response.status_code == 422
        problem_of(response, "not-a-tweet-url")


async def test_no_url_and_a_url_too_long_are_422() -> None:
    async with serving() as service:
        problem_of(await service.get("/inference"), "invalid-request")
        body = problem_of(await service.by_url("https://x.com/" + "a" * 3000), "invalid-request")
        assert "tweetUrl" in str(body["detail"])


async def test_a_tweet_that_is_not_there_is_404() -> None:
    async with serving([TWEET]) as service:
        response = await service.by_url("https://x.com/ann/status/21")
        assert response.status_code == 404
        problem_of(response, "tweet-not-found")
        assert service.parts.tally.failures == {"tweet-not-found": 1}


class FaultySource:
    """Fails as it is told."""

    name = "x"

    def __init__(self, error: SourceError) -> None:
        self._error = error

    async def tweet(self, tweet_id: str) -> Tweet:
        raise self._error

    def pages(self, author: str, window: Window, limit: int) -> Pages:
        raise NotImplementedError

    def authors(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TweetProtected("p"), 403),
        (AuthorSuspended("s"), 404),
        (SourceRateLimited("r", retry_after_s=12.2), 503),
        (SourceTimeout("t"), 504),
        (SourceUnavailable("u"), 502),
        (SourceDenied("d"), 502),
    ],
)
async def test_each_fault_of_the_source_has_its_problem(error: SourceError, status: int) -> None:
    async with serving(source=FaultySource(error)) as service:
        response = await service.by_url("https://x.com/ann/status/20")
        assert response.status_code == status
        problem_of(response, error.kind)
        expected = "13" if isinstance(error, SourceRateLimited) else None
        assert response.headers.get("retry-after") == expected


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Overloaded("full", retry_after_s=3), 429, "overloaded"),
        (NotReady("no"), 503, "not-ready"),
        (DeadlineExceeded("late"), 504, "deadline-exceeded"),
        (ModelFailed("secret path /srv/x"), 500, "internal"),
    ],
)
async def test_each_fault_of_the_model_has_its_problem(
    error: PenstockError, status: int, kind: str
) -> None:
    async with serving([TWEET]) as service:
        service.predictor.fails_with = error
        response = await service.by_url(url_of(TWEET))
        assert response.status_code == status
        problem_of(response, kind)
        assert "secret" not in response.text
        assert (await service.post({"text": "good"})).status_code == status


async def test_a_bug_is_a_500_without_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    async with serving([TWEET]) as service:
        service.predictor.fails_with = RuntimeError("a secret")
        response = await service.by_url(url_of(TWEET))
        assert response.status_code == 500
        problem_of(response, "internal")
        assert "secret" not in response.text
        assert response.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("https://t.co/abc", "only links"),
        ("@ann https://t.co/abc http://x.org/", "only links"),
        ("good " * 2000, "10000 characters|9999 characters"),
        ("\u200b\u200d", "nothing that can be read"),
        ("refuse this", "cannot read this"),
    ],
)
async def test_texts_that_cannot_be_judged_are_422(text: str, why: str) -> None:
    tweet = a_tweet(5, text)
    async with serving([tweet]) as service:
        for response in (await service.post({"text": text}), await service.by_url(url_of(tweet))):
            assert response.status_code == 422
            body = problem_of(response, "text-refused")
            assert re.search(why, str(body["detail"]))
        assert service.parts.ledger.board.handles == []


@pytest.mark.parametrize(
    "text", ["😀", "صباح الخير يا أصدقاء", "שלום \u202eabc", "e\u0301t\u00e9", "ok"]
)
async def test_unusual_texts_are_answered(text: str) -> None:
    tweet = a_tweet(5, text)
    async with serving([tweet]) as service:
        assert (await service.post({"text": text})).status_code == 200
        response = await service.by_url(url_of(tweet))
        assert response.json()["tweet"]["text"] == text


async def test_half_a_character_and_bytes_that_are_not_utf8() -> None:
    async with serving() as service:
        headers = {"content-type": "application/json"}
        for body in (b'{"text": "a\\ud800"}', b'{"text": "\xff\xfe"}', b"{", b"[]", b'{"text": 5}'):
            response = await service.client.post("/api/v1/inference", content=body, headers=headers)
            assert response.status_code == 422
            assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [{}, {"text": "a", "texts": ["a"]}, {"texts": []}, {"text": "a", "tone": 1}, {"text": None}],
)
async def test_bodies_that_make_no_sense_are_422(body: object) -> None:
    async with serving() as service:
        response = await service.post(body)
        assert response.status_code == 422
        problem_of(response, "invalid-request")


async def test_a_thousand_texts_with_one_bad() -> None:
    texts = [f"good {number}" for number in range(1000)]
    texts[617] = " "
    async with serving() as service:
        body = (await service.post({"texts": texts})).json()
        assert body["numRefused"] == 1
        assert body["results"][617] == {"error": "the text is empty"}
        labels = [r["label"] for i, r in enumerate(body["results"]) if i != 617]
        assert labels == ["positive"] * 999
        assert (await service.post({"texts": [*texts, "one more"]})).status_code == 422


async def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() -> None:
    async with serving() as service:
        huge = b'{"text": "' + b"a" * MAX_BODY_BYTES + b'"}'

        async def chunks() -> AsyncIterator[bytes]:
            for first in range(0, len(huge), 1 << 20):
                yield huge[first : first + (1 << 20)]

        for content in (huge, chunks()):
            response = await service.client.post("/api/v1/inference", content=content)
            assert response.status_code == 413
            assert response.headers["content-type"] == "application/problem+json"


async def test_texts_that_mean_the_same_are_one_key() -> None:
    async with serving() as service:
        await service.post({"texts": ["\u00e9 ", " e\u0301", "\u00e9"]})
        assert service.predictor.asked == ["\u00e9"]


async def test_one_line_for_each_inference_and_its_text_only_on_demand(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for shown in (False, True):
        caplog.clear()
        caplog.set_level(logging.INFO, "tweet_sentiment")
        async with serving([TWEET], log_text=shown) as service:
            headers = {"x-request-id": "abc-1"}
            params = {"tweetUrl": url_of(TWEET)}
            for _ in range(2):
                await service.client.get("/api/v1/inference", params=params, headers=headers)
        lines = [r.getMessage() for r in caplog.records if r.name.endswith("inference")]
        assert len(lines) == 2
        assert "request=abc-1 source=archive outcome=miss label=positive version=1" in lines[0]
        assert "outcome=hit" in lines[1]
        assert ("good morning" in caplog.text) is shown


async def test_metrics_and_stats_tell_the_same() -> None:
    async with serving([TWEET]) as service:
        for _ in range(3):
            await service.by_url(url_of(TWEET))
        await service.by_url("https://x.com/ann/status/404")
        metrics = (await service.client.get("/metrics")).text
        assert 'tweet_sentiment_store_lookups_total{outcome="hit"} 2.0' in metrics
        assert 'tweet_sentiment_store_lookups_total{outcome="miss"} 1.0' in metrics
        assert 'tweet_sentiment_predictions_total{label="positive"} 3.0' in metrics
        assert 'tweet_sentiment_failures_total{reason="tweet-not-found"} 1.0' in metrics
        assert 'tweet_sentiment_inference_seconds_count{outcome="hit"} 2.0' in metrics
        stats = (await service.get("/stats")).json()
        assert (stats["hits"], stats["misses"], stats["failureRatio"]) == (2, 1, 0.25)
        assert stats["exampleUrls"] == [url_of(TWEET)]


async def test_health_docs_and_the_frame() -> None:
    async with serving([TWEET], predictor=FakePredictor()) as service:
        client = service.client
        assert (await client.get("/livez")).text == "ok"
        assert (await client.get("/readyz")).status_code == 200
        page = await client.get("/")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert (await client.get("/docs")).status_code == 200
        assert (await client.get("/static/docs/swagger-ui.css")).status_code == 200
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        assert set(paths) >= {"/api/v1/inference", "/api/v1/authors/top", "/api/v1/cache"}
        missing = await client.get("/nowhere")
        assert missing.status_code == 404
        problem_of(missing, "not-found")
        bad_id = await client.get("/livez", headers={"x-request-id": "a b"})
        assert bad_id.headers["x-request-id"] != "a b"
