"""``/inference``: the sentiment of a tweet by its URL, of a text, of a list of texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from apps.tweet_sentiment.api.problems import ApiProblem
from apps.tweet_sentiment.api.schemas import (
    InferenceOut,
    InferencesOut,
    Probabilities,
    Problem,
    Refused,
    TextsIn,
    TweetOut,
)
from apps.tweet_sentiment.predictor import LABELS
from apps.tweet_sentiment.service import Answer, Outcome, SentimentService
from apps.tweet_sentiment.sources.tweet_url import MAX_URL_CHARS, parse_tweet_url

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
    for status, text in (
        (403, "The tweet is protected"),
        (404, "There is no such tweet"),
        (422, "The URL or the text is not valid"),
        (429, "Too much is asked at once"),
        (502, "The source of tweets fails"),
        (503, "Come back after Retry-After seconds"),
        (504, "No answer in time"),
    )
}


def inference_routes(service: SentimentService, max_texts: int) -> APIRouter:
    """The routes of inferences."""
    router = APIRouter(tags=["inference"], responses=_PROBLEMS)

    @router.get("/inference", summary="One tweet, by its URL", response_model=InferenceOut)
    async def by_url(
        request: Request,
        tweet_url: Annotated[str, Query(alias="tweetUrl", max_length=MAX_URL_CHARS)],
    ) -> Response:
        """The sentiment of one tweet. A second request for it is answered from the store."""
        tweet_id = parse_tweet_url(tweet_url)
        answer = await service.of_tweet(tweet_id, request.scope["request_id"])
        return _json(inference_out(answer))

    @router.post(
        "/inference", summary="A text, or texts", response_model=InferenceOut | InferencesOut
    )
    async def by_text(request: Request, body: TextsIn) -> Response:
        """The sentiment of a text; or of texts: a wrong one is refused alone, in its place."""
        texts = [body.text] if body.text is not None else body.texts or []
        if len(texts) > max_texts:
            raise ApiProblem(
                "invalid-request", f"texts: {len(texts)} texts; at most {max_texts} in one call"
            )
        outcomes = await service.of_texts(texts, request.scope["request_id"])
        if body.text is None:
            return _json(_inferences_out(outcomes))
        [outcome] = outcomes
        if not isinstance(outcome, Answer):
            raise outcome
        return _json(inference_out(outcome))

    return router


def inference_out(answer: Answer) -> InferenceOut:
    """An answer as the API gives it."""
    record = answer.record
    negative, neutral, positive = record.scores
    tweet = None
    if record.tweet_id:
        tweet = TweetOut(
            id=record.tweet_id,
            author=record.author,
            created_at=datetime.fromtimestamp(record.created_s, UTC),
            text=record.text,
        )
    return InferenceOut(
        label=LABELS[record.label],
        score=round(positive - negative, 6),
        probabilities=Probabilities(negative=negative, neutral=neutral, positive=positive),
        model_version=answer.version,
        cached=answer.hit,
        tweet=tweet,
    )


def _inferences_out(outcomes: list[Outcome]) -> InferencesOut:
    results = [
        inference_out(outcome) if isinstance(outcome, Answer) else Refused(error=str(outcome))
        for outcome in outcomes
    ]
    return InferencesOut(results=results, num_refused=sum(isinstance(r, Refused) for r in results))


def _json(body: InferenceOut | InferencesOut) -> Response:
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")
