"""``penstock doctor``: the effective settings, and what is missing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from penstock.app.cli.options import JsonOption, print_json, print_lines


def doctor(
    config: Annotated[
        str | None, typer.Option(help="Settings file; without: penstock.yaml where there is one.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting as on serve's command line: name=value; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting with its origin, and check what `penstock serve` needs.

    Exit status 1 where something is broken that serving needs.
    """
    import os

    from penstock.app.cli.checks import run_checks
    from penstock.app.load_settings import Origin, load_settings
    from penstock.app.settings import Settings
    from penstock.core.errors import ConfigError

    flags = dict(_pair(text) for text in setting or ())
    settings, origin, problem = Settings(), Origin(), ""
    try:
        settings, origin = load_settings(config=config, environ=os.environ, flags=flags)
    except ConfigError as err:
        problem = err.message
    checks = run_checks(settings, problem)
    broken = any(check.status == "broken" for check in checks)
    rows = [] if problem else _rows(settings, origin.of)
    if as_json:
        told = [
            {"name": c.name, "status": c.status, "detail": c.detail, "fix": c.fix} for c in checks
        ]
        print_json({"ok": not broken, "settings": rows, "checks": told})
    else:
        from penstock.app.cli.doctor_tables import checks_table, settings_table

        print_lines(*([settings_table(rows), ""] if rows else []), checks_table(checks))
    if broken:
        raise typer.Exit(1)


def _rows(settings: Any, origins: dict[str, str]) -> list[dict[str, Any]]:
    from penstock.app.load_settings import setting_values
    from penstock.stores.store_url import without_password

    shown = {
        name: without_password(value) if isinstance(value, str) else value
        for name, value in setting_values(settings).items()
    }
    return [
        {"name": name, "value": value, "origin": origins.get(name, "default")}
        for name, value in shown.items()
    ]


def _pair(text: str) -> tuple[str, str]:
    from penstock.core.errors import ConfigError

    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes name=value, got '{text}'")
    return name.strip(), value
