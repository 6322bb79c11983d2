"""Errors as problem documents (RFC 9457). Every error of the service is mapped here, once."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from apps.tweet_sentiment.api.schemas import FieldProblem, Problem
from apps.tweet_sentiment.service import TextRefused, reason_of
from apps.tweet_sentiment.sources.source import SourceError
from apps.tweet_sentiment.sources.tweet_url import NotATweetUrl
from penstock import PenstockError

_log = logging.getLogger("tweet_sentiment.api")

URN = "urn:tweet-sentiment:"
STATUS: Mapping[str, tuple[int, str]] = {
    "invalid-request": (422, "The request is not valid"),
    "not-a-tweet-url": (422, "This is not the URL of a tweet"),
    "text-refused": (422, "This text cannot be judged"),
    "tweet-not-found": (404, "There is no such tweet"),
    "author-not-found": (404, "There is no such author"),
    "tweet-protected": (403, "The tweet is protected"),
    "author-suspended": (404, "The author is suspended"),
    "source-rate-limited": (503, "The source of tweets asks for a pause"),
    "source-timeout": (504, "The source of tweets did not answer in time"),
    "source-unavailable": (502, "The source of tweets fails"),
    "source-denied": (502, "The source of tweets does not accept this service"),
    "source-failed": (502, "The source of tweets fails"),
    "too-large": (413, "The request is too large"),
    "overloaded": (429, "Too much is asked at once"),
    "not-ready": (503, "The service is not ready"),
    "deadline-exceeded": (504, "There was no answer in time"),
    "unauthorized": (401, "Who are you?"),
    "too-many-attempts": (429, "Too many attempts"),
    "not-found": (404, "There is nothing here"),
    "internal": (500, "The service failed"),
}
"""Status and title of each kind of problem."""


class ApiProblem(Exception):
    """A problem of the API's own making.

    Attributes:
        kind: a key of ``STATUS``.
        headers: for the response.
    """

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = dict(headers or {})


def problem(
    request: Request,
    kind: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
) -> Response:
    """The response for one problem."""
    status, title = STATUS[kind]
    body = Problem(
        type=URN + kind,
        title=title,
        status=status,
        detail=detail,
        instance=str(request.scope.get("request_id", "")),
        errors=errors,
    )
    text = body.model_dump_json(by_alias=True, exclude_none=True)
    return Response(text, status, dict(headers or {}), "application/problem+json")


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error of the application leave as a problem document."""
    app.add_exception_handler(ApiProblem, _own)
    app.add_exception_handler(NotATweetUrl, _url)
    app.add_exception_handler(TextRefused, _refused)
    app.add_exception_handler(SourceError, _source)
    app.add_exception_handler(PenstockError, _model)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def internal(request: Request) -> Response:
    """For an error nobody foresaw; the log has the cause."""
    return problem(request, "internal", "An unexpected error; the log has it under this id.")


async def _own(request: Request, err: Exception) -> Response:
    assert isinstance(err, ApiProblem)  # noqa: S101 - handlers are registered by class
    return problem(request, err.kind, str(err), headers=err.headers)


async def _url(request: Request, err: Exception) -> Response:
    return problem(request, "not-a-tweet-url", str(err))


async def _refused(request: Request, err: Exception) -> Response:
    return problem(request, "text-refused", str(err))


async def _source(request: Request, err: Exception) -> Response:
    assert isinstance(err, SourceError)  # noqa: S101 - handlers are registered by class
    return problem(request, err.kind, str(err), headers=_retry_after(err.retry_after_s))


async def _model(request: Request, err: Exception) -> Response:
    assert isinstance(err, PenstockError)  # noqa: S101 - handlers are registered by class
    kind = reason_of(err)
    if kind in ("overloaded", "not-ready", "deadline-exceeded"):
        wait_s = err.retry_after_s or (1.0 if err.retryable else None)
        return problem(request, kind, STATUS[kind][1] + ".", headers=_retry_after(wait_s))
    _log.error("request=%s: the model failed: %s", request.scope.get("request_id"), err.message)
    return internal(request)


async def _invalid(request: Request, err: Exception) -> Response:
    assert isinstance(err, RequestValidationError)  # noqa: S101 - handlers are registered by class
    errors = [FieldProblem(field=_field(one), reason=one["msg"]) for one in err.errors()]
    detail = "; ".join(f"{one.field}: {one.reason}" for one in errors[:3])
    return problem(request, "invalid-request", detail, errors=errors)


async def _http(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)  # noqa: S101 - handlers are registered by class
    status = 422 if err.status_code == 400 else err.status_code  # a body that is not JSON
    kind = "not-found" if status == 404 else "invalid-request"
    body = Problem(
        type=URN + kind,
        title=str(err.detail),
        status=status,
        detail=str(err.detail),
        instance=str(request.scope.get("request_id", "")),
    )
    text = body.model_dump_json(by_alias=True, exclude_none=True)
    return Response(text, status, dict(err.headers or {}), "application/problem+json")


def _field(error: Mapping[str, Any]) -> str:
    place = [str(part) for part in error["loc"]]
    return ".".join(place[1:]) or place[0]


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(math.ceil(seconds))}
