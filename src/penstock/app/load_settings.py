"""Settings from file, environment and flags: later ones win, and each value knows its origin."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.app.settings import Settings
from penstock.core.errors import ConfigError

_PREFIX = "PENSTOCK_"
_CONFIG_VARIABLE = "PENSTOCK_CONFIG"
_DEFAULT_FILE = "penstock.yaml"


class Origin:
    """Where the effective value of each setting came from: dotted name to text."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def mark(self, name: str, where: str) -> None:
        """Remember where a value came from; the last one said wins."""
        self.of[name] = where


def load_settings(
    *, config: str | None, environ: Mapping[str, str], flags: Mapping[str, Any]
) -> tuple[Settings, Origin]:
    """Lay file, environment and flags over the defaults.

    Args:
        config: the settings file; None: ``PENSTOCK_CONFIG``, else ``penstock.yaml`` where there
            is one.
        environ: the environment.
        flags: dotted setting name to value, only what was given on the command line.

    Raises:
        ConfigError: a name is unknown (says the nearest) or a value does not fit; names the
            file, variable or flag.
    """
    tree: dict[str, Any] = {}
    origin = Origin()
    for name, value, where in _layers(config, environ, flags):
        fitting = _fit(name, value, where)
        _put(tree, name, fitting)
        origin.mark(name, where)
    return msgspec.convert(tree, Settings, strict=False), origin


def setting_types() -> dict[str, Any]:
    """Every setting's dotted name and its type."""
    return dict(_walk(Settings, ""))


def setting_values(settings: Settings) -> dict[str, Any]:
    """Every setting's dotted name and its effective value."""
    values: dict[str, Any] = {}
    for name in setting_types():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        values[name] = value
    return values


def _layers(
    config: str | None, environ: Mapping[str, str], flags: Mapping[str, Any]
) -> Iterator[tuple[str, Any, str]]:
    path = config or environ.get(_CONFIG_VARIABLE)
    if path is None and Path(_DEFAULT_FILE).is_file():
        path = _DEFAULT_FILE
    if path is not None:
        for name, value in _flatten(_read_file(path), path):
            yield name, value, path
    for key, text in sorted(environ.items()):
        if key.startswith(_PREFIX) and key != _CONFIG_VARIABLE:
            name = key.removeprefix(_PREFIX).lower().replace("__", ".")
            yield name, text, f"environment variable {key}"
    for name, value in flags.items():
        yield name, value, "command line"


def _read_file(path: str) -> object:
    from penstock.repository.manifest_yaml import parse_yaml

    try:
        content = Path(path).read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {(err.strerror or str(err)).lower()}") from err
    return parse_yaml(content, path)


def _flatten(data: object, path: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a file; a mapping that is itself a value is none of ours."""
    if data is None:
        return
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: {prefix or '$'}: expected a mapping, got {data!r}")
    sections = {name.rsplit(".", 1)[0] for name in setting_types() if "." in name}
    sections |= {section.split(".", 1)[0] for section in sections}
    for key, value in data.items():
        name = f"{prefix}{key}"
        if name in sections:
            yield from _flatten(value, path, f"{name}.")
        else:
            yield name, value


def _fit(name: str, value: Any, where: str) -> Any:
    types = setting_types()
    if name not in types:
        near = difflib.get_close_matches(name, types, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(types))}"
        raise ConfigError(f"{where}: unknown setting '{name}', {hint}")
    if isinstance(value, str) and types[name] == tuple[str, ...]:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.to_builtins(msgspec.convert(value, types[name], strict=False))
    except msgspec.ValidationError as err:
        raise ConfigError(f"{where}: setting '{name}': {str(err).lower()}, got {value!r}") from err


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".")
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[leaf] = value


def _walk(kind: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _walk(field.type, f"{name}.")
        else:
            yield name, field.type
