"""Options that several commands share, and how they print. Light: nothing slow is imported."""

from __future__ import annotations

import json
import re
import sys
from typing import IO, TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_URL = "http://127.0.0.1:8080"

UrlOption = Annotated[
    str, typer.Option("--url", envvar="PENSTOCK_URL", help="The server's REST address.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
VersionOption = Annotated[
    str,
    typer.Option(
        "--version", help="A version number or label; without: the newest.", show_default=False
    ),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout-s", min=0.001, help="How long to wait for the server, seconds.")
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
WhyOption = Annotated[str, typer.Option("--why", help="A sentence for the history.")]

_PIPE_WIDTH = 4000
_NUMBERS = re.compile(r'\[\n([^\[\]{}"]*)\n *\]')


class PlainCommand(TyperCommand):
    """A command whose help is plain text: Typer escapes brackets for Rich, which is off."""

    def get_help(self, ctx: click.Context) -> str:
        """The text of ``--help``."""
        return super().get_help(ctx).replace("\\[", "[")


def console(file: IO[str] | None = None) -> Console:
    """Where tables go, not cut to a width where it is no terminal; None: standard output."""
    from rich.console import Console

    stream = file or sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, highlight=False, markup=False, width=width)


def print_lines(*values: Any, file: IO[str] | None = None) -> None:
    """Print tables and lines, without the spaces that would fill up a line in a file.

    Args:
        values: lines, texts and tables.
        file: where to; None: standard output.
    """
    target = console(file)
    if target.is_terminal:
        for value in values:
            target.print(value, soft_wrap=isinstance(value, str))
        return
    with target.capture() as capture:
        for value in values:
            target.print(value, soft_wrap=isinstance(value, str))
    for line in capture.get().splitlines():
        print(line.rstrip(), file=file)


def print_json(value: Any) -> None:
    """Print a value as JSON: indented for people on a terminal, else one line."""
    print(json_text(value, indent=2 if sys.stdout.isatty() else None))


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON text; letters beyond ASCII stay readable, lists of numbers on one line.

    Args:
        value: plain values, and msgspec's structs.
        indent: spaces for each level; None: all on one line.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)
    return text if indent is None else _NUMBERS.sub(_on_one_line, text)


def _plain(struct: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(struct)


def _on_one_line(match: re.Match[str]) -> str:
    return f"[{', '.join(part.strip() for part in match[1].split(','))}]"


def say(text: str) -> None:
    """One line of progress or advice, beside the output."""
    print(text, file=sys.stderr)
