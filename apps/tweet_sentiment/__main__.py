"""``python -m apps.tweet_sentiment [serve | rebuild]``: run it, or make its counts anew."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec
import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console

from apps.tweet_sentiment.app import create_app
from apps.tweet_sentiment.http_server import PortTaken, serve_until_signal
from apps.tweet_sentiment.ledger import Ledger
from apps.tweet_sentiment.parts import open_store, opened
from apps.tweet_sentiment.settings import Settings
from apps.tweet_sentiment.sources.archive import ArchiveError
from penstock import PenstockError
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions

cli = typer.Typer(add_completion=False, help="The sentiment of tweets, by URL, author and time.")
_WRONG_USAGE = 2


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


@cli.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Serve, unless another command is given."""
    if context.invoked_subcommand is None:
        serve()


@cli.command()
def serve() -> None:
    """Run the service until SIGTERM or SIGINT."""
    settings = _settings()
    _configure_logs(settings)
    _run(_serve(settings))


@cli.command()
def rebuild() -> None:
    """Make the authors' counts again from the stored predictions. Stop the service first."""
    settings = _settings()
    _configure_logs(settings)
    _run(_rebuild(settings))


async def _serve(settings: Settings) -> None:
    def tell(url: str) -> None:
        Console(stderr=True).print(f"tweet sentiment on [bold]{url}[/]  (API: {url}/docs)")

    async with opened(settings) as parts:
        gc.collect()
        gc.freeze()  # what is there now stays: no later collection needs to look at it
        await serve_until_signal(
            create_app(parts),
            settings.host,
            settings.port,
            drain_s=settings.drain_timeout_s,
            on_listening=tell,
        )


async def _rebuild(settings: Settings) -> None:
    backend = open_store(settings.effective_store_url)
    store = PredictionStore(backend, PredictionStoreOptions(ttl_s=None), name="ledger")
    try:
        ledger = Ledger(store, settings.model_name)
        tweets = await ledger.rebuild()
        Console().print(f"{tweets} tweets of {len(ledger.board.handles)} authors counted")
    finally:
        await store.close()


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as err:
        for one in err.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in one["loc"]).upper()
            _complain(f"{name}: {one['msg']}" if name else one["msg"])
        raise typer.Exit(_WRONG_USAGE) from None


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        uvloop.run(work)
    except (ArchiveError, PenstockError, PortTaken) as err:
        _complain(str(err))
        raise typer.Exit(1) from None


def _complain(text: str) -> None:
    Console(stderr=True).print(f"[red]error:[/] {text}", highlight=False)


def _configure_logs(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    human = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else human)
    for name in ("tweet_sentiment", "penstock"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


if __name__ == "__main__":
    cli()
