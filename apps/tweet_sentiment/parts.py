"""Parts: what the service is made of, opened and closed in the right order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import penstock
from apps.tweet_sentiment.auth import Guard
from apps.tweet_sentiment.board import DAY_S
from apps.tweet_sentiment.ledger import Ledger
from apps.tweet_sentiment.observe import Tally
from apps.tweet_sentiment.predictor import PenstockPredictor, Predictor
from apps.tweet_sentiment.refresh import RefreshDesk
from apps.tweet_sentiment.service import SentimentService
from apps.tweet_sentiment.settings import Settings
from apps.tweet_sentiment.sources.archive import ArchiveSource, open_archive
from apps.tweet_sentiment.sources.source import TweetSource, Window
from penstock.stores.backend import Backend
from penstock.stores.open_backend import open_backend
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions

_log = logging.getLogger("tweet_sentiment")
_RETRY_S = 5.0
_START_S = 60.0
_ALL_TIME = Window(0, 2**33)


class Parts(NamedTuple):
    """The open service, ready for its HTTP door."""

    settings: Settings
    service: SentimentService
    ledger: Ledger
    desk: RefreshDesk
    guard: Guard
    tally: Tally


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """Load the model, open store and source, and give it all back at the end.

    Raises:
        ArchiveError, ConfigError, LoadFailed: a setting leads nowhere.
    """
    source = await asyncio.to_thread(open_source, settings)
    folder = settings.models / settings.model_name
    async with penstock.serving(folder) as models:
        predictor = PenstockPredictor(models, settings.model_name)
        backend = open_store(settings.effective_store_url)
        async with assembled(settings, predictor, source, backend) as parts:
            yield parts


@asynccontextmanager
async def assembled(
    settings: Settings, predictor: Predictor, source: TweetSource, backend: Backend
) -> AsyncIterator[Parts]:
    """The same from parts that are open already; closes source and backend.

    At the end nothing that was predicted is lost: refreshes stop, then writes are drained.
    """
    ttl_s = settings.prediction_ttl_days * DAY_S
    drain_s = settings.drain_timeout_s
    options = PredictionStoreOptions(ttl_s=ttl_s, drain_timeout_s=drain_s)
    predictions = PredictionStore(backend, options)
    for_ever = PredictionStoreOptions(ttl_s=None, drain_timeout_s=drain_s)
    lines = PredictionStore(backend, for_ever, name="ledger")
    ledger = Ledger(lines, predictor.model)
    tally = Tally(log_text=settings.log_text, stores=(predictions, lines))
    service = SentimentService(
        predictor, source, predictions, ledger, tally, max_recent=settings.max_recent
    )
    desk = RefreshDesk(service)
    password = settings.first_superuser_password.get_secret_value()
    guard = Guard(settings.first_superuser, password)
    is_loaded = await _loaded(ledger)
    reload_s = settings.board_reload_s if settings.effective_store_url[:6] == "redis:" else 0.0
    keeper = asyncio.create_task(_keep_board(ledger, lines, is_loaded, reload_s), name="board")
    desk.start()
    _predict_archive(desk, source, settings.predict_on_start)
    try:
        yield Parts(settings, service, ledger, desk, guard, tally)
    finally:
        await desk.close()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        left = await lines.drain(drain_s)
        await predictions.close()
        await lines.close()
        await source.close()
        _log.info("stopped; %d lines could not be written", left)


def open_source(settings: Settings) -> TweetSource:
    """The source of tweets that the settings name; blocks."""
    if settings.tweet_source == "archive":
        return open_archive(settings.archive_path)
    from apps.tweet_sentiment.sources.x_api import XSource

    token = settings.x_bearer_token.get_secret_value()
    return XSource(token, base_url=settings.x_api_url, timeout_s=settings.x_timeout_s)


def open_store(url: str) -> Backend:
    """The store that a URL names; makes the folder of a file."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return open_backend(url)


async def _loaded(ledger: Ledger) -> bool:
    try:
        async with asyncio.timeout(_START_S):
            await ledger.load()
    except (penstock.PenstockError, TimeoutError) as err:
        _log.warning("the store cannot be read yet, authors begin at nothing: %s", err)
        return False
    return True


async def _keep_board(
    ledger: Ledger, lines: PredictionStore, is_loaded: bool, reload_s: float
) -> None:
    """Load the board once the store can be read, then again every ``reload_s`` seconds."""
    while not is_loaded or reload_s:
        await asyncio.sleep(reload_s if is_loaded else _RETRY_S)
        if lines.stats.pending_items and is_loaded:
            continue  # the store does not have everything yet: the board knows more
        with suppress(penstock.PenstockError):
            await ledger.load()
            is_loaded = True


def _predict_archive(desk: RefreshDesk, source: TweetSource, max_tweets: int) -> None:
    if isinstance(source, ArchiveSource) and len(source) <= max_tweets:
        for author in source.authors():
            desk.submit(author, _ALL_TIME, max_tweets)
