"""``penstock route``: who shares the requests of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from penstock.app.cli.control_client import ControlClient
    from penstock.server.control_api.answers import RouteAnswer

route_app = typer.Typer(
    help="Show, set and clear which versions share a model's requests.", no_args_is_help=True
)

_TIMEOUT_S = 30.0
_LOAD_TIMEOUT_S = 300.0


@route_app.command("show", cls=PlainCommand)
def show_route(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="The model's name; without: every model.")
    ] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show who answers the requests of a model, and what was counted of each version."""
    client = _client(url, timeout_s)
    answers = [client.route(model)] if model else client.routes()
    if as_json:
        print_json(answers[0] if model else answers)
    elif not answers:
        say(f"no model at {client.url} has a route: the newest version of each answers")
    else:
        _print(answers)


@route_app.command("set", cls=PlainCommand)
def set_route(
    model: ModelArgument,
    variants: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VERSION:PERCENT...", help="Who gets which share."),
    ],
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="KIND:NAME",
            help="What requests are assigned by: header:NAME, parameter:NAME, input:NAME, client.",
        ),
    ] = "",
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="KIND:NAME=VALUE:VARIANT",
            help="Requests with this header or parameter go to one variant; repeatable.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL=VERSION", help="A version by name; repeatable."),
    ] = None,
    shadow: Annotated[
        str,
        typer.Option(
            "--shadow", metavar="VERSION[:SAMPLE]", help="Who gets a copy of the requests."
        ),
    ] = "",
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _LOAD_TIMEOUT_S,
) -> None:
    """Share a model's requests out, such as: route set digits stable=1:95 canary=2:5."""
    from penstock.app.cli.route_words import RouteWords, read_route

    route = read_route(RouteWords(variants, key, rule or [], label or [], shadow))
    _tell(_client(url, timeout_s).set_route(model, route, why), as_json=as_json)


@route_app.command("clear", cls=PlainCommand)
def clear_route(
    model: ModelArgument,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Have the newest version of a model answer again."""
    _tell(_client(url, timeout_s).clear_route(model, why), as_json=as_json)


def _client(url: str, timeout_s: float) -> ControlClient:
    from penstock.app.cli.control_client import ControlClient

    return ControlClient(url, timeout_s)


def _tell(answer: RouteAnswer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        _print([answer])


def _print(answers: list[RouteAnswer]) -> None:
    from penstock.app.cli.route_view import route_page

    lines = [line for answer in answers for line in ("", *route_page(answer))]
    print_lines(*lines[1:])
