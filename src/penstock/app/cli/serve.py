"""``penstock serve``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.core.errors import ConfigError

if TYPE_CHECKING:
    from penstock.app.settings import Settings


def serve_command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Model files, packages, model folders, repositories, URLs, or app.py:Class.",
            show_default=False,
        ),
    ],
    host: Annotated[str | None, typer.Option(help="Address to bind [127.0.0.1].")] = None,
    http_port: Annotated[int | None, typer.Option(help="REST port; 0: any [8080].")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="gRPC port; 0: any [8081].")] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Serving processes on the same ports: a number or auto [1]."),
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="Settings file [penstock.yaml where there is one].")
    ] = None,
    model_control: Annotated[
        str | None, typer.Option(help="watch, explicit or none [watch].")
    ] = None,
    load_model: Annotated[
        list[str] | None,
        typer.Option(
            help="With explicit control: load this model at start; repeatable, * for all."
        ),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="human or json [human].")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error [info].")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as name=value; repeatable."),
    ] = None,
) -> None:
    """Serve models over REST and gRPC until Ctrl-C or SIGTERM."""
    from penstock.app.load_settings import load_settings

    flags: dict[str, Any] = dict(_pair(text) for text in setting or ())
    given = {
        "host": host,
        "http.port": http_port,
        "grpc.port": grpc_port,
        "processes": workers,
        "model_control": model_control,
        "load_models": load_model,
        "telemetry.log_format": log_format,
        "telemetry.log_level": log_level,
    }
    flags |= {name: value for name, value in given.items() if value is not None}
    settings, _ = load_settings(config=config, environ=os.environ, flags=flags)
    if load_model and settings.model_control != "explicit":
        raise ConfigError(
            "--load-model needs --model-control explicit: "
            f"with '{settings.model_control}' the files say what is loaded"
        )
    _run(paths, settings)


def _run(paths: list[str], settings: Settings) -> None:
    """Serve, in this process or in several."""
    import uvloop

    if settings.processes != 1:
        from penstock.app.processes.process_count import process_count

        count = process_count(settings.processes)
        if count > 1:
            from penstock.app.processes.supervise import supervise

            uvloop.run(supervise(paths, settings, count))
            return
    from penstock.app.serve import serve

    uvloop.run(serve(paths, settings, _announce))


async def _announce(server: Any) -> None:
    """Say what is served, and how to ask for it."""
    import asyncio

    from penstock.app.cli.banner import print_banner

    await asyncio.to_thread(print_banner, server)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes name=value, got '{text}'")
    return name.strip(), value
