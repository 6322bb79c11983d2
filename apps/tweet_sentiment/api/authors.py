"""``/authors``: sentiment over time, and who is on top. Read from the board: see ``board.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from starlette.responses import Response

from apps.tweet_sentiment.api.problems import ApiProblem
from apps.tweet_sentiment.api.schemas import (
    AuthorSentimentOut,
    Bucket,
    BucketOut,
    LabelCounts,
    Problem,
    RankedAuthor,
    Sort,
    TopAuthorsOut,
    Trend,
    Wire,
)
from apps.tweet_sentiment.board import DAY_S, HOUR_S, HOURS_PER_DAY, SUM, Counts
from apps.tweet_sentiment.ledger import Ledger
from apps.tweet_sentiment.sources.source import AuthorNotFound, Window
from apps.tweet_sentiment.trend import mean_score, ranking, trend

DEFAULT_DAYS = 30
MAX_BUCKETS = 1000
"""The most hours or days in one answer."""
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
    for status, text in ((404, "There is no such author"), (422, "The request is not valid"))
}
_Since = Annotated[datetime | None, Query(description=f"default: {DEFAULT_DAYS} days before until")]
_Until = Annotated[datetime | None, Query(description="default: now")]


def author_routes(ledger: Ledger, now: Callable[[], float] = time.time) -> APIRouter:
    """The routes of authors. Times are cut to whole hours: until is rounded up."""
    router = APIRouter(prefix="/authors", tags=["authors"], responses=_PROBLEMS)

    @router.get("/top", summary="The top authors of a time frame", response_model=TopAuthorsOut)
    async def top(
        since: _Since = None,
        until: _Until = None,
        sort: Sort = "active",
        min_count: Annotated[int, Query(alias="minCount", ge=1)] = 1,
        limit: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> Response:
        """The most active, most positive or most negative authors of a time frame."""
        window = window_of(since, until, now())
        totals = ledger.board.totals(*window)
        authors = [
            _ranked(ledger.board.handles[number], totals[:, number])
            for number in ranking(totals, sort, min_count, limit)
        ]
        return _json(
            TopAuthorsOut(
                since=_time(window.since_s), until=_time(window.until_s), sort=sort, authors=authors
            )
        )

    @router.get("/{id}/sentiment", summary="An author over time", response_model=AuthorSentimentOut)
    async def sentiment(
        id: Annotated[str, PathParameter(pattern=r"^@?[A-Za-z0-9_]{1,15}$")],  # noqa: A002
        since: _Since = None,
        until: _Until = None,
        bucket: Bucket = "day",
    ) -> Response:
        """An author's counts, mean score and trend; ``id`` is the handle."""
        window = window_of(since, until, now())
        return _json(author_sentiment(ledger, id.removeprefix("@"), window, bucket))

    return router


def author_sentiment(
    ledger: Ledger, author: str, window: Window, bucket: Bucket
) -> AuthorSentimentOut:
    """One author's sentiment over time.

    Raises:
        AuthorNotFound: no tweet of theirs was ever predicted.
        ApiProblem: more buckets than one answer may have.
    """
    number = ledger.board.number(author)
    if number is None:
        raise AuthorNotFound(f"no tweet of '{author}' has been predicted")
    unit, length_s = ("h", HOUR_S) if bucket == "hour" else ("d", DAY_S)
    if window.until_s - window.since_s > MAX_BUCKETS * length_s:
        raise ApiProblem(
            "invalid-request", f"since: more than {MAX_BUCKETS} {bucket}s; ask for fewer"
        )
    window = window if bucket == "hour" else _whole_days(window)
    cells = ledger.board.cells(number, *window, unit)
    totals = sum((cell.counts for cell in cells), start=cells[0].counts * 0) if cells else None
    line = trend(cells, HOURS_PER_DAY if bucket == "hour" else 1)
    return AuthorSentimentOut(
        author=ledger.board.handles[number],
        since=_time(window.since_s),
        until=_time(window.until_s),
        bucket=bucket,
        counts=_counts(totals),
        mean_score=None if totals is None else _round(mean_score(totals)),
        trend=line and Trend(direction=line.direction, slope_per_day=round(line.slope_per_day, 6)),
        buckets=[
            BucketOut(
                start=_time(cell.bucket * length_s),
                counts=_counts(cell.counts),
                mean_score=_round(mean_score(cell.counts)),
            )
            for cell in cells
        ],
    )


def window_of(since: datetime | None, until: datetime | None, now: float) -> Window:
    """The time frame that is asked for, in whole hours; a time without a zone is UTC.

    Raises:
        ApiProblem: it ends before it begins.
    """
    until_s = now if until is None else _seconds(until)
    since_s = until_s - DEFAULT_DAYS * DAY_S if since is None else _seconds(since)
    if since_s >= until_s:
        raise ApiProblem("invalid-request", "since: it should be before until")
    return Window(int(since_s // HOUR_S) * HOUR_S, -int(-until_s // HOUR_S) * HOUR_S)


def _whole_days(window: Window) -> Window:
    return Window(window.since_s // DAY_S * DAY_S, -(-window.until_s // DAY_S) * DAY_S)


def _ranked(author: str, counts: Counts) -> RankedAuthor:
    mean = _round(mean_score(counts))
    return RankedAuthor(author=author, counts=_counts(counts), mean_score=mean)


def _counts(counts: Counts | None) -> LabelCounts:
    negative, neutral, positive = (0, 0, 0) if counts is None else counts[:SUM].tolist()
    total = negative + neutral + positive
    return LabelCounts(negative=negative, neutral=neutral, positive=positive, total=total)


def _round(mean: float | None) -> float:
    return round(mean or 0.0, 4)


def _seconds(when: datetime) -> float:
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _json(body: Wire) -> Response:
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")
