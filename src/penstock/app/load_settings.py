"""Settings from file, environment and flags: later ones win, and each value knows its origin."""

from __future__ import annotations

import functools
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.app.settings import Settings
from penstock.core.byte_size import ByteSize
from penstock.core.errors import ConfigError

_PREFIX = "PENSTOCK_"
_CONFIG_VARIABLE = "PENSTOCK_CONFIG"
_NO_SETTINGS = frozenset((_CONFIG_VARIABLE, "PENSTOCK_URL"))
"""Variables with our prefix that other options read: the settings file, the server to talk to."""

_CREDENTIALS = re.compile(r"PENSTOCK_(KAFKA|NATS|RABBITMQ|REDIS)_(USERNAME|PASSWORD)")
"""Variables with our prefix that streams read: who logs in to a broker."""

_DEFAULT_FILE = "penstock.yaml"
_COMMAND_LINE = "command line"
_VARIABLE = "environment variable "
_SERVICE_LINK = re.compile(r"PENSTOCK_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
_SERVICE_VALUE = re.compile(r"(tcp|udp|sctp)(://.*)?|\d+|[\d.]+|[\da-fA-F:]+")


class Origin:
    """Where the effective value of each setting came from: dotted name to text."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def mark(self, name: str, where: str) -> None:
        """Remember where a value came from; the last one said wins."""
        self.of[name] = where


def load_settings(
    *,
    config: str | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    flags_name: str = _COMMAND_LINE,
) -> tuple[Settings, Origin]:
    """Lay file, environment and flags over the defaults.

    A list replaces the list of the layer below; it does not add to it.

    Args:
        config: the settings file; None: ``PENSTOCK_CONFIG``, else ``penstock.yaml`` where there
            is one.
        environ: the environment. ``PENSTOCK_URL``, the names and passwords for brokers, and what
            Kubernetes injects for a service called ``penstock``, are no settings.
        flags: dotted setting name to value, only what was given on the command line.
        flags_name: what messages call the place of ``flags``.

    Raises:
        ConfigError: a name is unknown (says the nearest) or a value does not fit (says what is
            expected); names the file, variable or flag.
    """
    tree: dict[str, Any] = {}
    origin = Origin()
    for name, value, where in _layers(config, environ, flags, flags_name):
        _put(tree, name, _fit(name, value, where))
        origin.mark(name, where)
    return msgspec.convert(tree, Settings, strict=False, dec_hook=_to_size), origin


@functools.cache
def setting_types() -> Mapping[str, Any]:
    """Every setting's dotted name and its type, in the order of their declaration."""
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
    config: str | None, environ: Mapping[str, str], flags: Mapping[str, Any], flags_name: str
) -> Iterator[tuple[str, Any, str]]:
    path = config or environ.get(_CONFIG_VARIABLE) or None
    if path is None and Path(_DEFAULT_FILE).is_file():
        path = _DEFAULT_FILE
    if path is not None:
        for name, value in _flatten(_read_file(path), path):
            yield name, value, path
    for key, text in sorted(environ.items()):
        if key.startswith(_PREFIX) and not _is_no_setting(key, text):
            name = key.removeprefix(_PREFIX).lower().replace("__", ".")
            yield name, text, f"{_VARIABLE}{key}"
    for name, value in flags.items():
        yield name, value, flags_name


def _is_no_setting(key: str, text: str) -> bool:
    """Whether a variable with our prefix is for somebody else."""
    is_others = key in _NO_SETTINGS or _CREDENTIALS.fullmatch(key) is not None
    return is_others or _is_service_link(key, text)


def _is_service_link(key: str, text: str) -> bool:
    """Whether Kubernetes set this variable, for a service whose name begins with ``penstock``.

    Source: Kubernetes, "Service", environment variables. ``PENSTOCK_PORT=8080`` is none of its:
    it writes an address there.
    """
    name = key.removeprefix(_PREFIX).lower().replace("__", ".")
    if name in setting_types() or _SERVICE_LINK.fullmatch(key) is None:
        return False
    if key.endswith("_PORT") and "SERVICE" not in key and not re.search(r"_\d+_", key):
        return "://" in text
    return _SERVICE_VALUE.fullmatch(text) is not None


def _read_file(path: str) -> object:
    from penstock.repository.manifest_yaml import parse_yaml

    try:
        content = Path(path).read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {(err.strerror or str(err)).lower()}") from err
    return parse_yaml(content, path)


@functools.cache
def _sections() -> frozenset[str]:
    """The dotted names of the groups that settings are in."""
    found: set[str] = set()
    for name in setting_types():
        parts = name.split(".")
        found |= {".".join(parts[:depth]) for depth in range(1, len(parts))}
    return frozenset(found)


def _flatten(data: object, path: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a file; a mapping that is itself a value is none of ours."""
    if data is None:
        return
    if not isinstance(data, dict):
        what = f"'{prefix.rstrip('.')}' is a group of settings" if prefix else "settings file"
        raise ConfigError(f"{path}: {what}: expected a mapping, got {_show(data)}")
    for key, value in data.items():
        name = f"{prefix}{key}"
        if name in _sections():
            yield from _flatten(value, path, f"{name}.")
        else:
            yield name, value


def _fit(name: str, value: Any, where: str) -> Any:
    """The value as the setting's type has it, in plain types.

    Raises:
        ConfigError: there is no such setting, or the value does not fit.
    """
    kind = setting_types().get(name)
    if kind is None:
        raise ConfigError(_unknown(name, where))
    fitting = value
    if isinstance(value, str) and typing.get_origin(kind) is tuple:
        fitting = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, str):
        fitting = value.strip()
    try:
        converted = msgspec.convert(fitting, kind, strict=False, dec_hook=_to_size)
        converted = msgspec.to_builtins(converted, enc_hook=int)
    except msgspec.ValidationError as err:
        raise ConfigError(_misfit(name, kind, value, where)) from err
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(_misfit(name, kind, value, where))
    return converted


def _to_size(kind: type, value: object) -> object:
    return ByteSize.parse(value) if kind is ByteSize else value


def _misfit(name: str, kind: Any, value: Any, where: str) -> str:
    return f"{where}: setting '{name}': expected {describe_type(kind)}, got {_show(value)}"


def describe_type(kind: Any) -> str:
    """A setting's type in words: ``a whole number from 0 to 65535``."""
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        return ("one of " if len(choices) > 1 else "") + ", ".join(map(str, choices))
    if typing.get_origin(kind) is tuple:
        return "a list of text (in an environment variable or flag: separated by commas)"
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(map(describe_type, typing.get_args(kind)))
    if typing.get_origin(kind) is typing.Annotated:
        base, *notes = typing.get_args(kind)
        return describe_type(base) + "".join(_range(note) for note in notes)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    words[ByteSize] = "a number of bytes, such as 512MiB"
    return words.get(kind, str(kind))


def _range(note: Any) -> str:
    if not isinstance(note, msgspec.Meta):
        return ""
    if note.ge is not None and note.le is not None:
        return f" from {note.ge} to {note.le}"
    bounds = ((">=", note.ge), (">", note.gt), ("<=", note.le), ("<", note.lt))
    return "".join(f" {sign} {bound}" for sign, bound in bounds if bound is not None)


def _unknown(name: str, where: str) -> str:
    """What to say of a name that is no setting's, with the nearest that is one."""
    import difflib

    said = where.startswith(_VARIABLE)
    if name in _sections():
        inside = [
            _spelled(other, said) for other in setting_types() if other.startswith(f"{name}.")
        ]
        return f"{where}: '{name}' is a group of settings; set one of {', '.join(inside)}"
    near = difflib.get_close_matches(name, [*setting_types(), *_sections()], n=1)
    leaf = [other for other in setting_types() if other.rpartition(".")[2] == name]
    best = leaf[0] if len(leaf) == 1 else near[0] if near else ""
    if best:
        hint = f"did you mean '{_spelled(best, said)}'?"
    else:
        hint = f"known: {', '.join(_spelled(other, said) for other in sorted(setting_types()))}"
    return f"{where}: unknown setting '{name}', {hint}"


def _spelled(name: str, as_variable: bool) -> str:
    return _PREFIX + name.upper().replace(".", "__") if as_variable else name


def _show(value: Any) -> str:
    """A value as its author knows it, cut where it is long."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
