"""The bodies of the control API's requests, read with errors that name the field."""

from __future__ import annotations

from typing import Any

from penstock.core.errors import InvalidArgument
from penstock.dialects.open_inference import json_text
from penstock.repository.manifest_shape import check_shape, describe, nearest
from penstock.repository.spec_file import to_struct
from penstock.router.route import Route
from penstock.server.control_api.actor import MAX_WHY_CHARS, plain


def read_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object of a body.

    Args:
        body: the bytes; empty: an object without fields.
        what: what it is, for messages.

    Raises:
        InvalidArgument: it is no JSON, or no object.
    """
    value = json_text.parse(body, what) if body.strip() else {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"the {what} must be a JSON object, got {describe(value)}")
    return value


def take_why(fields: dict[str, Any]) -> str:
    """Take the field ``why`` out of a body: one line; "" where there is none.

    Raises:
        InvalidArgument: it is no text.
    """
    return plain(take_text(fields, "why"), MAX_WHY_CHARS)


def take_text(fields: dict[str, Any], name: str) -> str:
    """Take a field that is text out of a body; "" where there is none.

    Raises:
        InvalidArgument: it is no text.
    """
    value = fields.pop(name, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"{name}: expected text, got {describe(value)}")
    return value


def take_flag(fields: dict[str, Any], name: str) -> bool:
    """Take a field that is true or false out of a body; False where there is none.

    Raises:
        InvalidArgument: it is neither.
    """
    value = fields.pop(name, False)
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name}: expected true or false, got {describe(value)}")
    return value


def check_no_more(fields: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    """Refuse the fields that are left when the known ones are taken.

    Raises:
        InvalidArgument: there are some.
    """
    for name in fields:
        raise InvalidArgument(f"the {what}: {name[:64]}: unknown field, {nearest(name, known)}")


def read_route(fields: dict[str, Any]) -> Route:
    """A route from its fields.

    Raises:
        ConfigError: the first misfit, as ``route: $.path: what was expected, what came``.
    """
    check_shape(fields, "route", Route)
    return to_struct(fields, Route, "route")
