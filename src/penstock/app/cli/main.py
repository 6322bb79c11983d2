"""``penstock``: the command line's entry point."""

from __future__ import annotations

import sys

import typer

from penstock.app.cli.doctor import doctor
from penstock.app.cli.models import models_app
from penstock.app.cli.predict import predict
from penstock.app.cli.serve import serve_command
from penstock.core.errors import ConfigError, PenstockError

app = typer.Typer(
    name="penstock",
    help="Serve models: from a file on disk to REST and gRPC predictions.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve_command)
app.command("predict")(predict)
app.command("doctor")(doctor)
app.add_typer(models_app, name="models")


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
