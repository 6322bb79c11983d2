"""A route from the words of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from penstock.core.errors import ConfigError
from penstock.router.route import Route, RoutingKey, Rule, Shadow, Variant

T = TypeVar("T", bound=msgspec.Struct)


class RouteWords(NamedTuple):
    """What stands on the command line.

    Attributes:
        variants: each ``NAME=VERSION:PERCENT``.
        key: ``KIND:NAME``, ``client``, or "".
        rules: each ``KIND:NAME=VALUE:VARIANT``.
        labels: each ``LABEL=VERSION``.
        shadow: ``VERSION[:SAMPLE]``, or "".
    """

    variants: Sequence[str]
    key: str = ""
    rules: Sequence[str] = ()
    labels: Sequence[str] = ()
    shadow: str = ""


def read_route(words: RouteWords) -> Route:
    """The route that is meant; whether its parts fit each other the server says.

    Raises:
        ConfigError: a word is not of its form.
    """
    return Route(
        variants=tuple(_variant(word) for word in words.variants),
        key=_key(words.key),
        rules=tuple(_rule(word) for word in words.rules),
        labels=dict(_label(word) for word in words.labels),
        shadow=_shadow(words.shadow),
    )


def _variant(word: str) -> Variant:
    name, _, rest = word.partition("=")
    version, _, weight = rest.partition(":")
    try:
        return _checked(Variant(name=name, version=int(version), weight=float(weight)))
    except ValueError:
        text = f"expected NAME=VERSION:PERCENT, such as stable=1:95, got {word!r}"
        raise ConfigError(text) from None


def _key(word: str) -> RoutingKey:
    kind, _, name = word.partition(":")
    match kind:
        case "":
            return RoutingKey()
        case "client" if not name:
            return RoutingKey(client=True)
        case "header" if name:
            return RoutingKey(header=name.lower())
        case "parameter" if name:
            return RoutingKey(parameter=name)
        case "input" if name:
            return RoutingKey(input=name)
    raise ConfigError(
        f"--key: expected header:NAME, parameter:NAME, input:NAME or client, got {word!r}"
    )


def _rule(word: str) -> Rule:
    what, _, then = word.partition("=")
    kind, _, name = what.partition(":")
    value, _, variant = then.rpartition(":")
    if kind not in ("header", "parameter") or not name or not variant or not value:
        raise ConfigError(
            "--rule: expected KIND:NAME=VALUE:VARIANT, such as header:x-beta=1:canary, got "
            f"{word!r}"
        )
    if kind == "header":
        return Rule(header=name.lower(), equals=value, variant=variant)
    return Rule(parameter=name, equals=value, variant=variant)


def _label(word: str) -> tuple[str, int]:
    label, _, version = word.partition("=")
    if not label or not version.isdecimal():
        raise ConfigError(f"--label: expected LABEL=VERSION, such as next=2, got {word!r}")
    return label, int(version)


def _shadow(word: str) -> Shadow | None:
    if not word:
        return None
    version, has_sample, sample = word.partition(":")
    try:
        share = float(sample) if has_sample else 1.0
        return _checked(Shadow(version=int(version), sample=share))
    except ValueError:
        text = f"--shadow: expected VERSION or VERSION:SAMPLE, such as 2:0.1, got {word!r}"
        raise ConfigError(text) from None


def _checked(value: T) -> T:
    """A value whose fields are in their ranges; msgspec's ValidationError is a ValueError."""
    return msgspec.convert(msgspec.to_builtins(value), type(value))
