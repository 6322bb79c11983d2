"""``penstock stream``: a model over each record of a message broker, as it comes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
import typer

from penstock.app.cli.options import PlainCommand, say
from penstock.core.errors import ConfigError

if TYPE_CHECKING:
    from penstock.app.jobs.stream_job import StreamJob
    from penstock.jobs.stream.spec import StreamSpec

_LEVELS = ("debug", "info", "warning", "error")

stream_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Predict each record of a message broker as it comes.",
)


@stream_app.command("run", cls=PlainCommand)
def run_stream(
    file: Annotated[Path, typer.Argument(metavar="STREAM.yaml", help="What to run.")],
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Show /metrics on this port, whatever the file says; 0: any."
        ),
    ] = None,
    log_format: Annotated[
        Literal["human", "json"],
        typer.Option(
            click_type=click.Choice(["human", "json"]), metavar="FORMAT", help="human or json."
        ),
    ] = "human",
    log_level: Annotated[
        str,
        typer.Option(
            click_type=click.Choice(_LEVELS), metavar="LEVEL", help="debug, info, warning or error."
        ),
    ] = "info",
) -> None:
    """Run a stream until Ctrl-C or SIGTERM. What is under way is finished first.

    Exit status 0: it was told to stop, and did; 1: it could not go on; 2: the file is wrong.
    """
    import uvloop

    from penstock.core.allocator import keep_freed_memory
    from penstock.telemetry.logs import configure
    from penstock.telemetry.repeated_errors import RepeatedErrors

    spec = _read(file, metrics_port)
    keep_freed_memory()
    configure(log_format, log_level)
    for handler in logging.getLogger("penstock").handlers:
        handler.addFilter(RepeatedErrors())
    uvloop.run(_run(spec, file.parent))


def _read(file: Path, metrics_port: int | None) -> StreamSpec:
    import msgspec

    from penstock.jobs.stream.spec import MetricsSpec, read_stream

    try:
        content = file.read_bytes()
    except OSError as err:
        raise ConfigError(f"{file}: cannot be read: {err.strerror}") from err
    spec = read_stream(content, str(file))
    if metrics_port is None:
        return spec
    host = spec.metrics.host if spec.metrics else "127.0.0.1"
    return msgspec.structs.replace(spec, metrics=MetricsSpec(metrics_port, host))


async def _run(spec: StreamSpec, folder: Path) -> None:
    import asyncio

    from penstock.app.cli.stream_status import show_status
    from penstock.app.jobs.stream_job import StreamJob
    from penstock.app.stop_signals import stop_event

    job = StreamJob(spec, folder)
    showing: list[asyncio.Task[None]] = []

    def on_ready() -> None:
        _announce(spec, job)
        showing.append(asyncio.create_task(show_status(job.stats, sys.stderr)))

    try:
        await job.run(stop_event(), on_ready)
    finally:
        for task in showing:
            task.cancel()
        await asyncio.gather(*showing, return_exceptions=True)
        stats = job.stats
        if showing:
            say(
                f"stream '{spec.name}': {stats.predicted:,} predicted, {stats.num_dead:,} dead, "
                f"{stats.dropped:,} dropped"
            )


def _announce(spec: StreamSpec, job: StreamJob) -> None:
    say(f"stream '{spec.name}': {spec.source} -> {spec.model.name or spec.model.path} -> "
        f"{spec.sink} ({spec.delivery})")  # fmt: skip
    if job.metrics_port:
        host = spec.metrics.host if spec.metrics else ""
        say(f"metrics: http://{host}:{job.metrics_port}/metrics")
