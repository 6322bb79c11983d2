"""Refreshing a range of an author's tweets: progress, pauses, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from apps.tweet_sentiment.refresh import DeskFull, RefreshDesk
from apps.tweet_sentiment.sources.source import (
    AuthorNotFound,
    Pages,
    SourceError,
    SourceRateLimited,
    SourceTimeout,
    Tweet,
    TweetNotFound,
    Window,
)
from tests.apps.tweet_sentiment.doubles import DAY, NOON, a_tweet, serving

TWEETS = [a_tweet(number, f"good {number}") for number in range(1, 251)]
WINDOW = Window(NOON - DAY, NOON + DAY)


class ScriptedPages:
    """Pages and errors, as they are written down."""

    def __init__(self, script: Sequence[list[Tweet] | SourceError]) -> None:
        self._script = list(script)

    async def next(self) -> list[Tweet] | None:
        if not self._script:
            return None
        step = self._script.pop(0)
        if isinstance(step, SourceError):
            raise step
        return step


class ScriptedSource:
    """One script of pages for every author."""

    name = "x"

    def __init__(self, *script: list[Tweet] | SourceError) -> None:
        self._script = script

    async def tweet(self, tweet_id: str) -> Tweet:
        raise TweetNotFound("no")

    def pages(self, author: str, window: Window, limit: int) -> Pages:
        return ScriptedPages(self._script)

    def authors(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


async def test_over_the_api_with_progress() -> None:
    async with serving([*TWEETS, a_tweet(999, " ")]) as service:
        body = {"author": "@Ann", "since": "2025-11-20", "until": "2025-11-22T00:00:00Z"}
        response = await service.client.post("/api/v1/refresh", json=body | {"limit": 1000})
        assert response.status_code == 202
        assert response.json()["state"] == "queued"
        await asyncio.wait_for(service.parts.desk.settle(), 30)
        progress = (await service.client.get(response.headers["location"])).json()
        assert progress["state"] == "done"
        assert (progress["seen"], progress["answered"], progress["refused"]) == (251, 250, 1)
        totals = (await service.get("/authors/top")).json()["authors"]
        assert totals[0]["counts"]["positive"] == 250


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"author": "a b"},
        {"author": "ann", "limit": 0},
        {"author": "ann", "since": "2030-01-01"},
    ],
)
async def test_what_makes_no_sense_is_422(body: object) -> None:
    async with serving(TWEETS) as service:
        assert (await service.client.post("/api/v1/refresh", json=body)).status_code == 422
        assert (await service.get("/refresh/none")).status_code == 404


async def test_an_author_who_is_not_there_fails_the_job() -> None:
    async with serving(TWEETS) as service:
        job = service.parts.desk.submit("zoe", WINDOW, 10)
        await service.parts.desk.settle()
        assert (job.state, job.error) == ("failed", "the archive holds no author 'zoe'")


async def test_a_rate_limit_in_the_middle_is_waited_out() -> None:
    pauses: list[float] = []
    states: list[tuple[str, float | None]] = []
    source = ScriptedSource(
        TWEETS[:100], SourceRateLimited("slow", retry_after_s=900), TWEETS[100:200]
    )
    async with serving(source=source) as service:

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            states.append((job.state, job.resumes_s))

        desk = RefreshDesk(service.parts.service, sleep=sleep, now=lambda: 1000.0)
        job = desk.submit("ann", WINDOW, 300)
        desk.start()
        await desk.settle()
        await desk.close()
    assert pauses == [900]
    assert states == [("waiting", 1900.0)]
    assert (job.state, job.seen, job.resumes_s) == ("done", 200, None)


async def test_time_outs_are_tried_again_and_then_fail_the_job() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    for failures, state in ((3, "done"), (4, "failed")):
        pauses.clear()
        source = ScriptedSource(*[SourceTimeout("late")] * failures, TWEETS[:5])
        async with serving(source=source) as service:
            desk = RefreshDesk(service.parts.service, sleep=sleep)
            job = desk.submit("ann", WINDOW, 300)
            desk.start()
            await desk.settle()
            await desk.close()
        assert job.state == state
        assert pauses == [1, 2, 4]


async def test_one_refresh_for_one_question_and_a_bound_for_all() -> None:
    async with serving(source=ScriptedSource(AuthorNotFound("no"))) as service:
        desk = RefreshDesk(service.parts.service, max_waiting=2, max_kept=1, workers=1)
        first = desk.submit("ann", WINDOW, 10)
        assert desk.submit("ANN", WINDOW, 10) is first
        desk.submit("bob", WINDOW, 10)
        with pytest.raises(DeskFull):
            desk.submit("cyd", WINDOW, 10)
        desk.start()
        await desk.settle()
        for name in "abcdefgh":
            desk.submit(name, WINDOW, 10)
            await desk.settle()
        await desk.close()
        assert desk.get(first.id) is None
        assert len(desk._jobs) <= 4
