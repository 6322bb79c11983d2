"""Refreshes, the cache, and what the service says of itself."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Security
from fastapi.security import HTTPBasic
from starlette.responses import Response

from apps.tweet_sentiment.api.authors import window_of
from apps.tweet_sentiment.api.problems import ApiProblem
from apps.tweet_sentiment.api.schemas import (
    ForgottenOut,
    Handle,
    RefreshAsked,
    RefreshOut,
    StatsOut,
)
from apps.tweet_sentiment.auth import Guard
from apps.tweet_sentiment.board import DAY_S
from apps.tweet_sentiment.refresh import DeskFull, RefreshDesk, RefreshJob
from apps.tweet_sentiment.service import SentimentService

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="tweet sentiment", charset="UTF-8"'}


def superuser_only(guard: Guard) -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets only the superuser pass."""

    async def check(request: Request) -> None:
        address = request.client.host if request.client else ""
        wait_s = guard.wait_s(address)
        if wait_s > 0:
            raise ApiProblem(
                "too-many-attempts",
                "Too many wrong passwords; try again later.",
                {"Retry-After": str(math.ceil(wait_s))},
            )
        if not guard.admits(request.headers.get("authorization"), address):
            raise ApiProblem("unauthorized", "This is for the superuser only.", _CHALLENGE)

    return check


def admin_routes(
    service: SentimentService, desk: RefreshDesk, guard: Guard, now: Callable[[], float] = time.time
) -> APIRouter:
    """The routes that change what is stored."""
    router = APIRouter(tags=["store"])
    basic = Security(HTTPBasic(auto_error=False))  # shows in the API's documentation

    @router.post("/refresh", summary="Predict an author's tweets", status_code=202)
    async def refresh(body: RefreshAsked, response: Response) -> RefreshOut:
        """Predict a range of an author's tweets; ask ``GET /refresh/{id}`` how far it is."""
        window = window_of(body.since, body.until, now())
        try:
            job = desk.submit(body.author.removeprefix("@"), window, body.limit)
        except DeskFull:
            raise ApiProblem(
                "overloaded", "Too many refreshes wait already.", {"Retry-After": "10"}
            ) from None
        response.headers["Location"] = f"/api/v1/refresh/{job.id}"
        return _refresh_out(job)

    @router.get("/refresh/{job_id}", summary="How far a refresh is")
    async def progress(job_id: str) -> RefreshOut:
        """How far a refresh is."""
        job = desk.get(job_id)
        if job is None:
            raise ApiProblem("not-found", "There is no such refresh, or it is long over.")
        return _refresh_out(job)

    @router.delete(
        "/cache", summary="Forget an author", dependencies=[Depends(superuser_only(guard)), basic]
    )
    async def forget(author: Annotated[Handle, Query()]) -> ForgottenOut:
        """Forget an author: predictions and aggregates. For the superuser only."""
        name = author.removeprefix("@")
        return ForgottenOut(author=name, predictions=await service.forget(name))

    return router


def stats_routes(service: SentimentService, examples: list[str]) -> APIRouter:
    """What the page shows of the service itself."""
    router = APIRouter(tags=["service"])

    @router.get("/stats", summary="The service in numbers")
    async def stats() -> StatsOut:
        """Hits, failures and the distribution of predictions since the start."""
        tally, board = service.tally, service.ledger.board
        answered, failed = tally.hits + tally.misses, sum(tally.failures.values())
        first, last = board.days or (None, None)
        return StatsOut(
            hits=tally.hits,
            misses=tally.misses,
            hit_ratio=tally.hits / answered if answered else 0.0,
            failures=tally.failures,
            failure_ratio=failed / (answered + failed) if answered + failed else 0.0,
            predictions=tally.labels,
            authors=len(board.handles),
            first_tweet_at=_day(first),
            last_tweet_at=_day(last),
            source=service.source.name,
            example_urls=examples,
        )

    return router


def _refresh_out(job: RefreshJob) -> RefreshOut:
    resumes = job.resumes_s
    return RefreshOut(
        id=job.id,
        author=job.author,
        state=job.state,
        seen=job.seen,
        answered=job.answered,
        refused=job.refused,
        resumes_at=None if resumes is None else datetime.fromtimestamp(resumes, UTC),
        error=job.error,
    )


def _day(day: int | None) -> datetime | None:
    return None if day is None else datetime.fromtimestamp(day * DAY_S, UTC)
