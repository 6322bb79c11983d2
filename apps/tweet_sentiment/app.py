"""create_app: the HTTP face of the service: business API, page, docs, health, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import FileResponse, Response
from swagger_ui_bundle import swagger_ui_path

from apps.tweet_sentiment.api.admin import admin_routes, stats_routes
from apps.tweet_sentiment.api.authors import author_routes
from apps.tweet_sentiment.api.inference import inference_routes
from apps.tweet_sentiment.api.problems import add_problem_handlers
from apps.tweet_sentiment.http_frame import HttpFrame
from apps.tweet_sentiment.parts import Parts
from apps.tweet_sentiment.sources.archive import ArchiveSource

PREFIX = "/api/v1"
PAGE = Path(__file__).parent / "page"
_NUM_EXAMPLES = 3


def create_app(parts: Parts, *, now: Callable[[], float] = time.time) -> FastAPI:
    """The application over open parts.

    Args:
        parts: closed by whoever opened them, after the application's last request.
        now: the wall clock, in seconds since 1970.
    """
    app = FastAPI(
        title="Tweet sentiment",
        version="1",
        summary="The sentiment of tweets, kept, and summed up by author and over time",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
    )
    app.openapi_version = "3.0.3"  # the newest that the shipped Swagger UI draws
    add_problem_handlers(app)
    for router in (
        inference_routes(parts.service, parts.settings.max_texts),
        author_routes(parts.ledger, now),
        admin_routes(parts.service, parts.desk, parts.guard, now),
        stats_routes(parts.service, example_urls(parts)),
    ):
        app.include_router(router, prefix=PREFIX)
    _add_operations(app, parts)
    _add_page(app)
    app.add_middleware(HttpFrame)
    return app


def example_urls(parts: Parts) -> list[str]:
    """URLs of tweets that the archive has; []: the source is no archive."""
    source = parts.service.source
    if not isinstance(source, ArchiveSource):
        return []
    return [f"https://x.com/{t.author}/status/{t.id}" for t in source.newest(_NUM_EXAMPLES)]


def _add_operations(app: FastAPI, parts: Parts) -> None:
    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        return Response("ok", media_type="text/plain")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        version = parts.service.version
        return Response(f"ok, model version {version}", media_type="text/plain")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(parts.tally.registry), media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(PAGE / "docs.html")

    app.mount("/static/docs", StaticFiles(directory=swagger_ui_path))
    app.mount("/static", StaticFiles(directory=PAGE))
