"""The values inside a load request's ``config``: how each kind is read and refused."""

from __future__ import annotations

import difflib
import re
from typing import Any

from penstock.core.errors import ConfigError, Unsupported
from penstock.dialects.open_inference import json_text

_NUMBER = re.compile(r"-?[0-9]{1,19}")


def refuse_filled(field: str, value: object) -> None:
    """Raise Unsupported where a field that is not offered here says anything."""
    if not _is_empty(value):
        raise Unsupported(f"config: '{field}' is not supported by this server; leave it out")


def _is_empty(value: object, depth: int = 4) -> bool:
    """Whether a field says nothing: protobuf's JSON may write defaults out."""
    if isinstance(value, dict):
        return depth > 0 and all(_is_empty(item, depth - 1) for item in value.values())
    return value in (None, False, 0, "", "0") or value == []


def integer(field: str, value: object, low: int = 0) -> int:
    """An integer >= ``low``, written as a number or as its text; else ConfigError."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if type(value) is not int or value < low:
        raise wrong(field, f"an integer >= {low}", value)
    return value


def integers(field: str, value: object, low: int = 0) -> list[int]:
    """An array of such integers; else ConfigError."""
    return [integer(field, item, low) for item in array(field, value)]


def array(field: str, value: object) -> list[Any]:
    """A JSON array; else ConfigError."""
    if not isinstance(value, list):
        raise wrong(field, "an array", value)
    return value


def mapping(field: str, value: object) -> dict[str, Any]:
    """A JSON object; else ConfigError."""
    if not isinstance(value, dict):
        raise wrong(field, "an object", value)
    return value


def wrong(field: str, expected: str, value: object) -> ConfigError:
    """The error of a field whose value has the wrong form."""
    return ConfigError(f"config: '{field}' must be {expected}, got {json_text.show(value)}")


def unknown_field(where: str, field: str, known: tuple[str, ...]) -> ConfigError:
    """The error of a field nobody knows, with the nearest name."""
    near = difflib.get_close_matches(field, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(sorted(known))}"
    return ConfigError(f"{where}: unknown field {json_text.show(field)}; {hint}")
