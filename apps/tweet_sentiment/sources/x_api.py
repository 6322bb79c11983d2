"""XSource: tweets from the X API v2, through tweepy, with a bearer token."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import requests
import tweepy

from apps.tweet_sentiment.sources.source import (
    AuthorNotFound,
    AuthorSuspended,
    Pages,
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

_TWEEPY_HOST = "https://api.twitter.com"
_FIELDS = {
    "tweet_fields": ["author_id", "created_at", "note_tweet"],
    "user_fields": ["username"],
}
_MIN_PAGE, _MAX_PAGE = 5, 100
_DEFAULT_PAUSE_S = 60.0
_AT_ONCE = 4


class _Session(requests.Session):
    """Sends what tweepy asks to one host, with a time limit, and follows no redirect."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        super().__init__()
        self.trust_env = False
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s

    def request(self, method: Any, url: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """One request, to the host this session is for."""
        url = self._base_url + str(url).removeprefix(_TWEEPY_HOST)
        return super().request(
            method, url, timeout=self._timeout_s, allow_redirects=False, **options
        )


class XSource:
    """Asks X, in threads, a few calls at once.

    Args:
        bearer_token: X's credential for this application.
        base_url: where X's API is.
        timeout_s: how long one call may take to connect, and to answer, in seconds.
        now: the wall clock, in seconds since 1970; turns X's "reset at" into "wait for".
    """

    name = "x"

    def __init__(
        self,
        bearer_token: str,
        *,
        base_url: str = _TWEEPY_HOST,
        timeout_s: float = 10.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        # tweepy logs each request's headers, the token among them, at DEBUG
        logging.getLogger("tweepy").setLevel(logging.INFO)
        self._client = tweepy.Client(bearer_token, return_type=dict)
        self._client.session = _Session(base_url, timeout_s)
        self._now = now
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def tweet(self, tweet_id: str) -> Tweet:
        """One tweet by its id."""
        answer = await self._call(
            partial(self._client.get_tweet, tweet_id, expansions=["author_id"], **_FIELDS)
        )
        data = answer.get("data")
        if data is None:
            raise _tweet_error(tweet_id, _first_error(answer))
        authors = {user["id"]: user["username"] for user in _users(answer)}
        return _tweet(data, authors.get(data.get("author_id"), str(data.get("author_id"))))

    def pages(self, author: str, window: Window, limit: int) -> Pages:
        """An author's tweets of a stretch of time, newest first, in pages."""
        return _Pages(self, author, window, limit)

    def authors(self) -> list[str]:
        """X is asked by name."""
        return []

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._client.session.close)

    async def _user(self, author: str) -> tuple[str, str]:
        answer = await self._call(partial(self._client.get_user, username=author))
        data = answer.get("data")
        if data is None:
            raise _author_error(author, _first_error(answer))
        return data["id"], data["username"]

    async def _call(self, ask: Callable[[], Any]) -> dict[str, Any]:
        async with self._turns:
            try:
                answer = await asyncio.to_thread(ask)
            except tweepy.TooManyRequests as err:
                raise SourceRateLimited(
                    "X allows no more requests for the moment",
                    retry_after_s=self._pause_s(err.reset_time),
                ) from None
            except (tweepy.Unauthorized, tweepy.Forbidden):
                raise SourceDenied("X does not accept this service's credential") from None
            except tweepy.NotFound:
                raise TweetNotFound("X knows nothing of it") from None
            except tweepy.HTTPException as err:
                raise SourceUnavailable(f"X answers {_status(err)}") from None
            except requests.Timeout:
                raise SourceTimeout("X did not answer in time") from None
            except (requests.RequestException, tweepy.TweepyException):
                raise SourceUnavailable("X cannot be reached") from None
            except (ValueError, AttributeError):
                raise SourceUnavailable("X answers something that is not its API's") from None
        if not isinstance(answer, dict):
            raise SourceUnavailable("X answers something that is not its API's")
        return answer

    def _pause_s(self, reset_time: int | None) -> float:
        if reset_time is None:
            return _DEFAULT_PAUSE_S
        return max(1.0, reset_time - self._now())


class _Pages:
    """An author's tweets, page by page. A page that failed is asked for again by ``next``."""

    def __init__(self, source: XSource, author: str, window: Window, limit: int) -> None:
        self._source = source
        self._author = author
        self._window = window
        self._left = limit
        self._user: tuple[str, str] | None = None
        self._token: str | None = None
        self._is_over = False

    async def next(self) -> list[Tweet] | None:
        """The next page; None: that was all."""
        if self._is_over or self._left <= 0:
            return None
        if self._user is None:
            self._user = await self._source._user(self._author)
        user_id, handle = self._user
        answer = await self._source._call(
            partial(
                self._source._client.get_users_tweets,
                user_id,
                start_time=_time(self._window.since_s),
                end_time=_time(self._window.until_s),
                max_results=max(_MIN_PAGE, min(_MAX_PAGE, self._left)),
                pagination_token=self._token,
                tweet_fields=_FIELDS["tweet_fields"],
            )
        )
        rows = answer.get("data") or []
        if not rows and (problem := _first_error(answer)):
            raise _author_error(self._author, problem)
        page = [_tweet(row, handle) for row in rows][: self._left]
        self._left -= len(page)
        self._token = answer.get("meta", {}).get("next_token")
        self._is_over = self._token is None
        return page


def _tweet(data: Mapping[str, Any], author: str) -> Tweet:
    try:
        created = datetime.fromisoformat(data["created_at"].replace("Z", "+00:00"))
        text = data.get("note_tweet", {}).get("text") or data["text"]
        return Tweet(str(data["id"]), author, int(created.timestamp()), text)
    except (KeyError, ValueError, AttributeError):
        raise SourceUnavailable("X answers something that is not its API's") from None


def _users(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = answer.get("includes", {}).get("users", [])
    return users


def _first_error(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    errors = answer.get("errors") or [{}]
    first: Mapping[str, Any] = errors[0]
    return first


def _tweet_error(tweet_id: str, problem: Mapping[str, Any]) -> SourceError:
    detail = str(problem.get("detail", "")).lower()
    if "suspended" in detail:
        return AuthorSuspended(f"the author of tweet {tweet_id} is suspended")
    if str(problem.get("type", "")).endswith("not-authorized-for-resource"):
        return TweetProtected(f"tweet {tweet_id} is protected: only followers may read it")
    return TweetNotFound(f"there is no tweet {tweet_id}, or no longer")


def _author_error(author: str, problem: Mapping[str, Any]) -> SourceError:
    if "suspended" in str(problem.get("detail", "")).lower():
        return AuthorSuspended(f"'{author}' is suspended")
    if str(problem.get("type", "")).endswith("not-authorized-for-resource"):
        return TweetProtected(f"the tweets of '{author}' are protected")
    return AuthorNotFound(f"there is no author '{author}'")


def _status(err: tweepy.HTTPException) -> int:
    status: int = err.response.status_code
    return status


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
