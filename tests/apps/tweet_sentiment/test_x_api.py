"""X's API through tweepy, against a server that answers as X does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from apps.tweet_sentiment.refresh import RefreshDesk
from apps.tweet_sentiment.sources.source import (
    AuthorNotFound,
    AuthorSuspended,
    SourceDenied,
    SourceError,
    SourceRateLimited,
    SourceTimeout,
    SourceUnavailable,
    Tweet,
    TweetNotFound,
    TweetProtected,
    Window,
)
from apps.tweet_sentiment.sources.x_api import XSource
from tests.apps.tweet_sentiment.doubles import serving
from tests.apps.tweet_sentiment.x_server import TOKEN, XServer, not_there, x_server

TWEET = {"id": "20", "author_id": "7", "text": "good", "created_at": "2025-11-21T12:00:00.000Z"}
FOUND = {"data": TWEET, "includes": {"users": [{"id": "7", "name": "Ann", "username": "Ann"}]}}
USER = {"data": {"id": "7", "name": "Ann", "username": "Ann"}}
WINDOW = Window(1_763_683_200, 1_763_769_600)
LIMITED = (429, {"x-rate-limit-reset": "1900"}, {"title": "Too Many Requests", "status": 429})


@pytest.fixture
def x() -> Iterator[XServer]:
    with x_server() as server:
        yield server


def source_of(x: XServer, **options: Any) -> XSource:
    return XSource(TOKEN, base_url=x.url, now=lambda: 1000.0, **options)


async def test_a_tweet(x: XServer) -> None:
    x.reply("/2/tweets/20", (200, {}, FOUND))
    source = source_of(x)
    assert await source.tweet("20") == Tweet("20", "Ann", 1_763_726_400, "good")
    [(_, query, authorization)] = x.requests
    assert authorization == f"Bearer {TOKEN}"
    assert query["expansions"] == ["author_id"]
    await source.close()


async def test_a_long_tweet_is_read_to_its_end(x: XServer) -> None:
    long = TWEET | {"note_tweet": {"text": "good " * 100}}
    x.reply("/2/tweets/20", (200, {}, FOUND | {"data": long}))
    assert (await source_of(x).tweet("20")).text == "good " * 100


NOT_AUTHORIZED = "Sorry, you are not authorized to see the Tweet with id: [20]."


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((200, {}, not_there("20", "Could not find tweet with id: [20].")), TweetNotFound),
        ((200, {}, not_there("20", NOT_AUTHORIZED, "not-authorized-for-resource")), TweetProtected),
        ((200, {}, not_there("20", "User has been suspended: [7].")), AuthorSuspended),
        ((404, {}, {"title": "Not Found"}), TweetNotFound),
        ((401, {}, {"title": "Unauthorized", "detail": "Unauthorized"}), SourceDenied),
        ((403, {}, {"title": "Forbidden", "detail": "client-not-enrolled"}), SourceDenied),
        (LIMITED, SourceRateLimited),
        ((400, {}, {"title": "Invalid Request"}), SourceUnavailable),
        ((500, {}, {"title": "Internal"}), SourceUnavailable),
        ((503, {}, {"title": "Over capacity"}), SourceUnavailable),
        ((200, {}, b"<html>maintenance</html>"), SourceUnavailable),
        ((200, {}, [1, 2]), SourceUnavailable),
        ((200, {}, {"data": {"id": "20"}}), SourceUnavailable),
        ((302, {"location": "http://127.0.0.1:1/"}, b""), SourceUnavailable),
        ((503, {}, b"\xff\xfe"), SourceUnavailable),
    ],
)
async def test_each_mishap_is_a_typed_error(
    x: XServer, reply: Any, error: type[SourceError]
) -> None:
    x.reply("/2/tweets/20", reply)
    with pytest.raises(error) as caught:
        await source_of(x).tweet("20")
    assert type(caught.value) is error
    assert TOKEN not in repr(caught.value)
    assert len(x.requests) == 1


async def test_a_rate_limit_says_how_long(x: XServer) -> None:
    x.reply("/2/tweets/20", LIMITED, (429, {}, {}))
    for seconds in (900, 60):
        with pytest.raises(SourceRateLimited) as caught:
            await source_of(x).tweet("20")
        assert caught.value.retry_after_s == seconds


async def test_no_answer_and_nobody_there(x: XServer) -> None:
    x.reply("/2/tweets/20", None)
    with pytest.raises(SourceTimeout):
        await source_of(x, timeout_s=0.2).tweet("20")
    nobody = XSource(TOKEN, base_url="http://127.0.0.1:1")
    with pytest.raises(SourceUnavailable):
        await nobody.tweet("20")


def page(first: int, count: int, token: str | None) -> Any:
    rows = [TWEET | {"id": str(first + number)} for number in range(count)]
    meta = {"result_count": count} | ({"next_token": token} if token else {})
    return 200, {}, {"data": rows, "meta": meta}


async def test_a_range_of_an_authors_tweets_in_pages(x: XServer) -> None:
    x.reply("/2/users/by/username/ann", (200, {}, USER))
    x.reply("/2/users/7/tweets", page(100, 100, "t2"), LIMITED, page(200, 100, "t3"))
    pages = source_of(x).pages("ann", WINDOW, 150)
    assert len(await pages.next() or []) == 100
    with pytest.raises(SourceRateLimited):
        await pages.next()
    second = await pages.next()  # the same page again
    assert second is not None
    assert [tweet.id for tweet in second] == [str(number) for number in range(200, 250)]
    assert await pages.next() is None
    queries = [query for path, query, _ in x.requests if path.endswith("tweets")]
    assert [query.get("pagination_token") for query in queries] == [None, ["t2"], ["t2"]]
    assert queries[0]["start_time"] == ["2025-11-21T00:00:00Z"]
    assert queries[0]["max_results"] == ["100"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (not_there("ann", "Could not find user with username: [ann]."), AuthorNotFound),
        (not_there("ann", "User has been suspended: [ann]."), AuthorSuspended),
    ],
)
async def test_an_author_who_is_not_there(x: XServer, reply: Any, error: type[SourceError]) -> None:
    x.reply("/2/users/by/username/ann", (200, {}, reply))
    with pytest.raises(error):
        await source_of(x).pages("ann", WINDOW, 10).next()


async def test_a_protected_timeline_and_an_empty_one(x: XServer) -> None:
    protected = not_there("7", "Sorry, not authorized", "not-authorized-for-resource")
    x.reply("/2/users/by/username/ann", (200, {}, USER))
    x.reply("/2/users/7/tweets", (200, {}, protected), (200, {}, {"meta": {"result_count": 0}}))
    with pytest.raises(TweetProtected):
        await source_of(x).pages("ann", WINDOW, 10).next()
    assert not await source_of(x).pages("ann", WINDOW, 10).next()


async def test_a_refresh_resumes_after_the_rate_limit(x: XServer) -> None:
    x.reply("/2/users/by/username/ann", LIMITED, (200, {}, USER))
    x.reply("/2/users/7/tweets", page(100, 100, "t2"), LIMITED, page(200, 100, None))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with serving(source=source_of(x)) as service:
        desk = RefreshDesk(service.parts.service, sleep=sleep)
        job = desk.submit("ann", WINDOW, 500)
        desk.start()
        await desk.settle()
        await desk.close()
        assert (job.state, job.seen, job.answered) == ("done", 200, 200)
        assert pauses == [900, 900]


async def test_the_token_stands_in_no_log_and_no_answer(
    x: XServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    x.reply("/2/tweets/20", (401, {}, {"detail": f"bad token {TOKEN}"}), (500, {}, b""))
    async with serving(source=source_of(x), x_bearer_token=TOKEN) as service:
        for _ in range(2):
            response = await service.by_url("https://x.com/ann/status/20")
            assert response.status_code == 502
            assert TOKEN not in response.text
        assert TOKEN not in repr(service.parts.settings)
    assert TOKEN not in caplog.text
