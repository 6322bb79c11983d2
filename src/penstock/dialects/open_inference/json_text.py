"""JSON that is not quite JSON: bare NaN and Infinity, and errors in the client's terms."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from penstock.core.errors import InvalidArgument

_SHOWN_CHARS = 60
_BARE = re.compile(rb"NaN|Infinity")
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BIG_EXPONENT = re.compile(r"[eE]\+?\d{3}")
_MAX_DIGITS = 308
_FIELD = re.compile(r"`\$\.(\w+)|required field `(\w+)`")
_BYTE = re.compile(r"(.*) \(byte (\d+)\)")


def show(value: object) -> str:
    """A value for an error message, cut to a readable length."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, str):
        value = value[: _SHOWN_CHARS + 1]
    text = json.dumps(value) if isinstance(value, str | bool | None) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."


def has_bare_number(body: bytes | memoryview) -> bool:
    """Whether ``NaN`` or ``Infinity`` stands anywhere in the text, be it inside a string."""
    return _BARE.search(body) is not None


def parse(body: bytes | memoryview, what: str = "request") -> Any:
    """Parse JSON that may hold bare ``NaN``, ``Infinity`` and ``-Infinity``.

    Args:
        body: UTF-8 text.
        what: what the text is, for messages.

    Raises:
        InvalidArgument: the text is not UTF-8, not JSON, nests too deeply, holds a number
            beyond a double or half of a surrogate pair.
    """
    try:
        text = str(body, "utf-8")
        value = json.loads(text, parse_float=_finite_float if _may_overflow(text) else None)
        if _LONE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise nesting_error() from None
    except json.JSONDecodeError as error:
        raise malformed(what, error.msg, error.pos) from None
    except UnicodeDecodeError as error:
        raise malformed(what, "invalid UTF-8", error.start) from None
    except UnicodeEncodeError:
        raise malformed(what, "half of a surrogate pair in a string", 0) from None
    except ValueError as error:
        raise malformed(what, str(error).split(";", 1)[0], 0) from None
    return value


def parse_error(error: msgspec.DecodeError, what: str = "request") -> InvalidArgument:
    """What msgspec says about a client's JSON, naming the field or the position."""
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        found = _FIELD.search(text)
        field = (found[1] or found[2]) if found else what
        return InvalidArgument(f"Unable to parse '{field}': {text.replace('`', chr(39))}")
    found = _BYTE.fullmatch(text)
    if found is None:
        return InvalidArgument(f"failed to parse the {what} JSON buffer: {text}")
    return malformed(what, found[1].removeprefix("JSON is malformed: "), int(found[2]))


def malformed(what: str, why: str, position: int) -> InvalidArgument:
    """The error of a text that is no JSON."""
    return InvalidArgument(f"failed to parse the {what} JSON buffer: {why} at {position}")


def nesting_error(limit: int = 100) -> InvalidArgument:
    """The error of arrays or objects that nest too deeply."""
    return InvalidArgument(f"JSON nesting depth exceeds maximum allowed limit ({limit})")


def _may_overflow(text: str) -> bool:
    """Whether a number could be beyond a double: by its exponent, or by its many digits."""
    if _BIG_EXPONENT.search(text):
        return True
    return len(text) > _MAX_DIGITS and max(map(len, text.split(","))) > _MAX_DIGITS


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"number {text[:_SHOWN_CHARS]} out of range")
    return value
