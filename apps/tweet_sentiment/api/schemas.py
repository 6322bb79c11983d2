"""What the API takes and gives. CamelCase on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from apps.tweet_sentiment.predictor import Label

Bucket = Literal["hour", "day"]
Sort = Literal["active", "positive", "negative"]
Handle = Annotated[str, Field(pattern=r"^@?[A-Za-z0-9_]{1,15}$", examples=["maya_bakes"])]


class Wire(BaseModel):
    """CamelCase names; unknown fields are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class Probabilities(Wire):
    """One probability per label; they sum to 1."""

    negative: float
    neutral: float
    positive: float


class TweetOut(Wire):
    """The tweet that was judged."""

    id: str
    author: str
    created_at: datetime
    text: str


class InferenceOut(Wire):
    """The sentiment of one text."""

    label: Label
    score: float = Field(description="-1 (surely negative) to 1 (surely positive)")
    probabilities: Probabilities
    model_version: int
    cached: bool = Field(description="whether it was computed before, and kept")
    tweet: TweetOut | None = Field(None, description="for an inference by URL")


class TextsIn(Wire):
    """Either one text, or a list of texts."""

    text: str | None = Field(None, examples=["Best coffee in town, and the staff remember you."])
    texts: list[str] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _is_one(self) -> TextsIn:
        if (self.text is None) == (self.texts is None):
            raise ValueError("send either text or texts, and not both")
        return self


class Refused(Wire):
    """Why one text of a list has no sentiment."""

    error: str


class InferencesOut(Wire):
    """One result per text, in order; a wrong text is refused in its place."""

    results: list[InferenceOut | Refused]
    num_refused: int


class LabelCounts(Wire):
    """Tweets by label."""

    negative: int
    neutral: int
    positive: int
    total: int


class BucketOut(Wire):
    """One hour or day with tweets in it."""

    start: datetime
    counts: LabelCounts
    mean_score: float


class Trend(Wire):
    """Where the mean goes: the least-squares line through the buckets, weighted by tweets."""

    direction: Literal["rising", "steady", "falling"]
    slope_per_day: float = Field(description="change of the mean score in a day")


class AuthorSentimentOut(Wire):
    """An author's sentiment over time; hours and days without tweets are left out."""

    author: str
    since: datetime
    until: datetime
    bucket: Bucket
    counts: LabelCounts
    mean_score: float | None = Field(description="null: no tweets in this time")
    trend: Trend | None = Field(description="null: fewer than two buckets")
    buckets: list[BucketOut]


class RankedAuthor(Wire):
    """One author in the ranking."""

    author: str
    counts: LabelCounts
    mean_score: float


class TopAuthorsOut(Wire):
    """The ranking in a time frame."""

    since: datetime
    until: datetime
    sort: Sort
    authors: list[RankedAuthor]


class RefreshAsked(Wire):
    """Which tweets to predict."""

    author: Handle
    since: datetime | None = Field(None, description="default: 30 days before until")
    until: datetime | None = Field(None, description="default: now")
    limit: int = Field(200, ge=1, le=3200, description="the newest so many")


class RefreshOut(Wire):
    """How far a refresh is."""

    id: str
    author: str
    state: Literal["queued", "running", "waiting", "done", "failed"]
    seen: int = Field(description="tweets read")
    answered: int
    refused: int
    resumes_at: datetime | None = Field(None, description="when waiting for the source")
    error: str | None = None


class ForgottenOut(Wire):
    """What was forgotten."""

    author: str
    predictions: int


class StatsOut(Wire):
    """What the page shows of the service itself, since it started."""

    hits: int
    misses: int
    hit_ratio: float
    failures: dict[str, int]
    failure_ratio: float
    predictions: dict[Label, int]
    authors: int
    first_tweet_at: datetime | None
    last_tweet_at: datetime | None
    source: str
    example_urls: list[str]


class FieldProblem(Wire):
    """One field that is wrong."""

    field: str
    reason: str


class Problem(Wire):
    """An error. Source: RFC 9457."""

    type: str = Field(examples=["urn:tweet-sentiment:tweet-not-found"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="the request's id")
    errors: list[FieldProblem] | None = None
