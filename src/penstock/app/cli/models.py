"""``penstock models``: what a running server has, and what it should load."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from penstock.app.cli.options import (
    DEFAULT_URL,
    JsonOption,
    PlainCommand,
    TimeoutOption,
    UrlOption,
    VersionOption,
    print_json,
    print_lines,
    say,
)
from penstock.app.cli.server_client import ServerClient, model_path

models_app = typer.Typer(
    help="List, show, load and unload the models of a running server.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]

_TIMEOUT_S = 30.0
_LOAD_TIMEOUT_S = 300.0


@models_app.command("list", cls=PlainCommand)
def list_models(
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """List every model and version of the server, with its state."""
    client = ServerClient(url, timeout_s)
    entries = client.post("/v2/repository/index") or []
    if as_json:
        print_json(entries)
    elif not entries:
        say(f"no models at {client.url}")
    else:
        from penstock.app.cli.model_tables import index_table, memory_by_version

        statistics = client.get("/v2/models/stats")["model_stats"]
        print_lines(index_table(entries, memory_by_version(statistics)))


@models_app.command("show", cls=PlainCommand)
def show_model(
    name: NameArgument,
    version: VersionOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show a model's inputs, outputs, configuration and statistics, and how to call it."""
    client = ServerClient(url, timeout_s)
    path = model_path(name, version)
    told = {
        "metadata": client.get(path),
        "config": client.get(f"{path}/config"),
        "statistics": client.get(f"{path}/stats")["model_stats"],
    }
    if as_json:
        print_json(told)
    else:
        from penstock.app.cli.model_tables import model_page

        print_lines(*model_page(told, client.url, version))


@models_app.command("load", cls=PlainCommand)
def load_model(
    name: NameArgument,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="JSON or YAML that replaces fields of the model's model.yaml until the next load.",
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _LOAD_TIMEOUT_S,
) -> None:
    """Load a model, or load it again, and wait until it is ready."""
    client = ServerClient(url, timeout_s)
    body = None if config is None else {"parameters": {"config": _read_config(config)}}
    path = f"{model_path(name)}/load"
    _with_progress(f"loading {name}", as_json, lambda: _change(client, path, body))
    _tell_state(client, name, as_json)


@models_app.command("unload", cls=PlainCommand)
def unload_model(
    name: NameArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _LOAD_TIMEOUT_S,
) -> None:
    """Unload a model, and wait until its last request is answered and it is gone."""
    client = ServerClient(url, timeout_s)
    path = f"{model_path(name)}/unload"
    _with_progress(f"unloading {name}", as_json, lambda: _change(client, path, None))
    _tell_state(client, name, as_json)


@models_app.command("ready", cls=PlainCommand)
def model_ready(
    name: NameArgument,
    version: VersionOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Say whether a model answers predictions; exit status 0 if so, else 1."""
    from penstock.core.errors import NotReady

    client, path = ServerClient(url, timeout_s), model_path(name, version)
    reply = client.request("GET", f"{path}/ready", accept=frozenset((200, 503)))
    ready = reply.status == 200
    if not ready and not as_json:
        with contextlib.suppress(NotReady):
            client.get(path)  # where there is no such model or label, it says so
    if as_json:
        print_json({"name": name, "ready": ready})
    else:
        of = f" version {version}" if version else ""
        print(f"{name}{of} is {'ready' if ready else 'not ready'}")
    if not ready:
        raise typer.Exit(1)


def _read_config(path: str) -> str:
    """A file of overrides as the JSON text that a load request carries.

    Raises:
        ConfigError: the file cannot be read, or holds no mapping.
    """
    import json

    from penstock.app.cli.file_content import file_content
    from penstock.core.errors import ConfigError
    from penstock.repository.manifest_yaml import parse_yaml

    content = file_content(path)
    value = parse_yaml(content, path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected a mapping of model.yaml's fields, got {value!r}")
    try:
        return json.dumps(value)
    except TypeError as err:
        raise ConfigError(f"{path}: {err}") from err


def _change(client: ServerClient, path: str, body: Any) -> None:
    """Ask the server to load or unload; where its mode forbids it, say which mode does not."""
    from penstock.core.errors import NotReady

    try:
        client.post(path.replace("/v2/", "/v2/repository/", 1), body)
    except NotReady as err:
        if "not allowed" not in err.message:
            raise
        raise NotReady(f"{err.message}: start it with --model-control explicit") from err


def _with_progress(text: str, quiet: bool, work: Callable[[], None]) -> None:
    """Run ``work``; meanwhile a spinner on a terminal, a line elsewhere, nothing where quiet."""
    import sys

    if quiet:
        work()
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(text):
            work()
    else:
        say(text)
        work()


def _tell_state(client: ServerClient, name: str, as_json: bool) -> None:
    """Print what the server's index says of a model."""
    entries = client.post("/v2/repository/index") or []
    mine = [entry for entry in entries if entry.get("name") == name]
    if as_json:
        print_json(mine)
    else:
        from penstock.app.cli.model_tables import index_table

        print_lines(index_table(mine))
