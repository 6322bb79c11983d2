"""The logging extension: which levels are logged, as a value and its changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.core.errors import InvalidArgument, Unsupported
from penstock.dialects.open_inference import json_text

_FORMATS = ("default", "ISO8601")
_LEVELS = ("log_info", "log_warning", "log_error")
_MAX_VERBOSE = 2**32 - 1


class LogSettings(msgspec.Struct, frozen=True):
    """What the server logs.

    Attributes:
        log_info, log_warning, log_error: whether that level is logged.
        log_verbose_level: 0: nothing verbose; 1 and more: debug messages too.
        log_format: ``default`` or ``ISO8601``.
        log_file: always "": logs go to standard error.
    """

    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: int = 0
    log_format: str = "default"
    log_file: str = ""


def log_settings_body(settings: LogSettings) -> dict[str, Any]:
    """The answer of ``GET`` and ``POST /v2/logging``."""
    return msgspec.structs.asdict(settings)


def read_settings_body(body: bytes) -> dict[str, Any]:
    """The changes in the body of a POST to the log or trace settings; it may be empty.

    Raises:
        InvalidArgument: it is no JSON object.
    """
    value = json_text.parse(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise InvalidArgument("the body of a settings request must be a JSON object")
    return value


def change_log_settings(settings: LogSettings, changes: Mapping[str, Any]) -> LogSettings:
    """The settings with these changes; all or none.

    Args:
        settings: what holds now.
        changes: setting name to new value; ``log_warnings`` is taken for ``log_warning``, as
            Triton's documentation spells it.

    Raises:
        InvalidArgument: a setting is unknown or a value has the wrong type or range.
        Unsupported: the log file is to be changed.
    """
    values: dict[str, Any] = {}
    for given, value in changes.items():
        name = "log_warning" if given == "log_warnings" else given
        if name == "log_file":
            raise Unsupported("log file location can not be updated through the protocol")
        values[name] = _check(name, value)
    return msgspec.structs.replace(settings, **values)


def _check(name: str, value: object) -> object:
    if name in _LEVELS:
        if not isinstance(value, bool):
            raise _wrong(name, "a boolean", value)
    elif name == "log_verbose_level":
        if type(value) is not int or not 0 <= value <= _MAX_VERBOSE:
            raise _wrong(name, "an integer >= 0", value)
    elif name == "log_format":
        if value not in _FORMATS:
            raise _wrong(name, f"one of {', '.join(_FORMATS)}", value)
    else:
        known = ", ".join((*_LEVELS, "log_verbose_level", "log_format"))
        raise InvalidArgument(
            f"unknown log setting {json_text.show(name)}, expected one of {known}"
        )
    return value


def _wrong(name: str, expected: str, value: object) -> InvalidArgument:
    return InvalidArgument(f"log setting '{name}' must be {expected}, got {json_text.show(value)}")
