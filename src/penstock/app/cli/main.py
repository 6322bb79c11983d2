"""``penstock``: the command line's entry point."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from penstock import __version__
from penstock.app.cli.batch import batch_app
from penstock.app.cli.doctor import doctor
from penstock.app.cli.experiment import experiment_app
from penstock.app.cli.jobs import jobs_app
from penstock.app.cli.models import models_app
from penstock.app.cli.options import PlainCommand
from penstock.app.cli.pack import inspect_command, pack_command
from penstock.app.cli.predict import predict
from penstock.app.cli.rollout import rollout_app
from penstock.app.cli.route import route_app
from penstock.app.cli.serve import serve_command
from penstock.app.cli.stream import stream_app
from penstock.core.errors import ConfigError, PenstockError

app = typer.Typer(
    name="penstock",
    help="Serve models: from a file on disk to REST and gRPC predictions.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve", cls=PlainCommand)(serve_command)
app.command("predict", cls=PlainCommand)(predict)
app.command("pack", cls=PlainCommand)(pack_command)
app.command("inspect", cls=PlainCommand)(inspect_command)
app.command("doctor", cls=PlainCommand)(doctor)
app.add_typer(models_app, name="models")
app.add_typer(batch_app, name="batch")
app.add_typer(jobs_app, name="jobs")
app.add_typer(route_app, name="route")
app.add_typer(rollout_app, name="rollout")
app.add_typer(experiment_app, name="experiment")
app.add_typer(stream_app, name="stream")


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"penstock {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    del version  # its callback has dealt with it


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        app()
    except ConfigError as err:
        sys.exit(_complain(err, 2))
    except PenstockError as err:
        sys.exit(_complain(err, 1))
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(err: PenstockError, code: int) -> int:
    print(f"penstock: {err.message}", file=sys.stderr)
    return code
