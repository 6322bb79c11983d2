"""``penstock experiment``: compare versions of a model by what comes of their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.app.cli.options import (
    DEFAULT_URL,
    JsonOption,
    PlainCommand,
    TimeoutOption,
    UrlOption,
    print_json,
    print_lines,
    say,
)

if TYPE_CHECKING:
    from penstock.app.cli.server_client import ServerClient

experiment_app = typer.Typer(
    help="Compare versions of a model by what comes of their predictions.", no_args_is_help=True
)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
WhyOption = Annotated[str, typer.Option("--why", help="For what reason, for the history.")]

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

    from penstock.rollout.experiment.spec_file import read_experiment

    spec = read_experiment(_content(file), file)
    body = msgspec.to_builtins(spec)
    _tell(_change(_client(url, timeout_s), "/v2/experiments", body), as_json)


@experiment_app.command("status", cls=PlainCommand)
def experiment_status(
    model: ModelArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show what a model's last experiment says; one may look as often as one likes."""
    _tell(_client(url, timeout_s).get(_path(model)), as_json)


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
    body = {"keep": keep, "why": why}
    _tell(_change(_client(url, timeout_s), f"{_path(model)}/stop", body), as_json)


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
    sent = send_outcomes(_client(url, timeout_s), lines)
    if as_json:
        print_json(sent.plain())
    else:
        for line in sent.complaints():
            say(line)
        print(sent.summary())
    if sent.rejected:
        raise typer.Exit(1)


def _change(client: ServerClient, path: str, value: Any) -> Any:
    """Ask for a change in the name of whoever sits at the command line."""
    import json

    from penstock.app.cli.control_client import actor

    headers = {"X-Penstock-Actor": actor()}
    return client.request("POST", path, json.dumps(value).encode(), headers).json()


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


def _client(url: str, timeout_s: float) -> ServerClient:
    from penstock.app.cli.server_client import ServerClient

    return ServerClient(url, timeout_s)


def _path(model: str) -> str:
    from urllib.parse import quote

    return f"/v2/experiments/{quote(model, safe='')}"
