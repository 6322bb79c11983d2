"""stub"""

import typer

models_app = typer.Typer()


@models_app.command("list")
def list_models() -> None:
    """Stub."""
