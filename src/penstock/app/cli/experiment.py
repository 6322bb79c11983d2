"""``penstock experiment``: compare versions of a model by what comes of their predictions."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from penstock.app.cli.options import (
    DEFAULT_URL,
    JsonOption,
    ModelArgument,
    PlainCommand,
    TimeoutOption,
    UrlOption,
    WhyOption,
    print_json,
    print_lines,
    say,
)
from penstock.app.cli.server_client import ServerClient, path_of

experiment_app = typer.Typer(
    help="Compare versions of a model by what comes of their predictions.", no_args_is_help=True
)

_TIMEOUT_S = 60.0


@experiment_app.command("start", cls=PlainCommand)
def start_experiment(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An experiment.yaml.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Share the requests of a model out among its variants, and count what comes of it."""
    import msgspec

    from penstock.app.cli.control_client import actor_headers
    from penstock.rollout.experiment.spec_file import read_experiment

    spec = read_experiment(_content(file), file)
    client, body = ServerClient(url, timeout_s), msgspec.to_builtins(spec)
    _tell(client.post("/v2/experiments", body, actor_headers()), as_json)


@experiment_app.command("status", cls=PlainCommand)
def experiment_status(
    model: ModelArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show what a model's last experiment says; one may look as often as one likes."""
    _tell(ServerClient(url, timeout_s).get(path_of("experiments", model)), as_json)


@experiment_app.command("stop", cls=PlainCommand)
def stop_experiment(
    model: ModelArgument,
    keep: Annotated[
        str,
        typer.Option(
            metavar="VARIANT",
            help="The variant whose version answers from now on; without: who answered before.",
        ),
    ] = "",
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """End an experiment; outcomes that come later still count."""
    from penstock.app.cli.control_client import actor_headers

    client, path = ServerClient(url, timeout_s), path_of("experiments", model, "stop")
    _tell(client.post(path, {"keep": keep, "why": why}, actor_headers()), as_json)


@experiment_app.command("outcomes", cls=PlainCommand)
def tell_outcomes(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV or JSON Lines; - is standard input.")
    ],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Tell what came of predictions: prediction_id, metric, value, and perhaps at_ms.

    Good rows are taken whatever the others are; exit status 1 where some were refused.
    """
    from penstock.app.cli.experiment_outcomes import read_outcomes, send_outcomes

    lines = read_outcomes(_content(file), "standard input" if file == "-" else file)
    sent = send_outcomes(ServerClient(url, timeout_s), lines)
    if as_json:
        print_json(sent.plain())
    else:
        for line in sent.complaints():
            say(line)
        print(sent.summary())
    if sent.rejected:
        raise typer.Exit(1)


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        from penstock.app.cli.experiment_tables import experiment_page

        print_lines(*experiment_page(answer))


def _content(file: str) -> bytes:
    """What is in a file, or with ``-`` in the standard input.

    Raises:
        ConfigError: it cannot be read.
    """
    import sys

    from penstock.app.cli.file_content import file_content

    return sys.stdin.buffer.read() if file == "-" else file_content(file)
