"""``penstock pack`` and ``penstock inspect``: make a model package, and look into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.app.cli.options import JsonOption, print_json, print_lines
from penstock.core.errors import ConfigError


def pack_command(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="A version's folder, or a model's with one artifact."),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The package [NAME-VERSION.pst]."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name [from the folder's].", show_default=False)
    ] = "",
    version: Annotated[
        int | None, typer.Option(min=0, help="Its version [from the folder's name, else 1].")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A training result, name=value; wins over metrics.json; repeatable."),
    ] = None,
    data_fingerprint: Annotated[
        str, typer.Option(help="What tells the training data, in your words.", show_default=False)
    ] = "",
    sign_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Sign it: an Ed25519 private key, PEM.")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not load the model; its signature stays unknown.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Pack one version of a model into a file that can be verified, signed and served."""
    from penstock.app.packing import PackOptions, pack

    options = PackOptions(
        name=name,
        version=version,
        metrics=dict(_metric(text) for text in metric or ()),
        data_fingerprint=data_fingerprint,
        sign_key=Path(sign_key) if sign_key else None,
        check=not no_check,
    )
    target = pack(Path(folder), Path(output) if output else None, options)
    _show(target, as_json=as_json)


def inspect_command(
    package: Annotated[str, typer.Argument(metavar="FILE", help="A package.")],
    trusted_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Refuse it unless this Ed25519 public key (PEM), or another given, signed it.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify every digest of a package, and show what it says of itself."""
    _show(Path(package), tuple(map(Path, trusted_key or ())), as_json=as_json)


def _show(path: Path, keys: tuple[Path, ...] = (), *, as_json: bool) -> None:
    from penstock.app.cli.package_tables import package_lines, package_value
    from penstock.repository.package_check import check_package

    report = check_package(path, keys)
    value: dict[str, Any] = package_value(path, report, is_trusted=bool(keys))
    if as_json:
        print_json(value)
    else:
        print_lines(*package_lines(value))


def _metric(text: str) -> tuple[str, float]:
    from penstock.app.provenance import finite

    name, _, value = text.partition("=")
    try:
        return name.strip(), finite(f"--metric {name.strip()}", float(value))
    except ValueError as err:
        raise ConfigError(f"--metric takes name=number, got '{text}'") from err
