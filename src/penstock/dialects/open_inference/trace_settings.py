"""The trace extension: what is traced, for all models and for each, as a value and its changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.core.errors import InvalidArgument, Unsupported
from penstock.dialects.open_inference import json_text

_LEVELS = ("OFF", "TIMESTAMPS", "TENSORS")
_LEAST = {"trace_rate": 1, "trace_count": -1, "log_frequency": 0}
_MAX = 2**31 - 1


class TraceSettings(msgspec.Struct, frozen=True):
    """What is traced.

    Attributes:
        trace_level: of OFF, TIMESTAMPS, TENSORS; OFF stands alone.
        trace_rate: one of so many requests is traced, >= 1.
        trace_count: how many more are traced; -1: no end.
        log_frequency: traces per file; 0: no rotation.
        trace_file: where traces go; set by the server's configuration only.
        trace_mode: ``triton`` or ``opentelemetry``.
    """

    trace_level: tuple[str, ...] = ("OFF",)
    trace_rate: int = 1000
    trace_count: int = -1
    log_frequency: int = 0
    trace_file: str = ""
    trace_mode: str = "triton"

    @property
    def active(self) -> bool:
        """Whether anything is traced."""
        return self.trace_level != ("OFF",) and self.trace_count != 0


class TraceBook(msgspec.Struct, frozen=True):
    """The trace settings of all models and what single models say otherwise.

    Attributes:
        start: the settings the server started with.
        changed: what was changed for all models, by setting name.
        models: what was changed for one model, by model and setting name.
    """

    start: TraceSettings = TraceSettings()
    changed: Mapping[str, Any] = msgspec.field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)

    def settings(self, model: str = "") -> TraceSettings:
        """What holds for a model; "": for all that say nothing else."""
        return msgspec.structs.replace(self.start, **{**self.changed, **self.models.get(model, {})})

    def change(self, changes: Mapping[str, Any], model: str = "") -> TraceBook:
        """The book with these changes; all or none.

        Args:
            changes: setting name to new value, numbers as text or number; None goes back to
                what holds for all models, or (``model`` is "") to the start.
            model: whose settings; "": those of all models.

        Raises:
            InvalidArgument: a setting is unknown or a value is wrong.
            Unsupported: the trace file or mode is to be changed.
        """
        values = dict(self.models.get(model, {}) if model else self.changed)
        for name, value in changes.items():
            checked = _check(name, value)
            if checked is None:
                values.pop(name, None)
            else:
                values[name] = checked
        if not model:
            return msgspec.structs.replace(self, changed=values)
        others = {name: said for name, said in self.models.items() if name != model}
        return msgspec.structs.replace(self, models={**others, model: values} if values else others)


def trace_settings_body(settings: TraceSettings) -> dict[str, Any]:
    """The answer of ``GET`` and ``POST .../trace/setting``: all values are text."""
    return {
        "trace_level": list(settings.trace_level),
        "trace_rate": str(settings.trace_rate),
        "trace_count": str(settings.trace_count),
        "log_frequency": str(settings.log_frequency),
        "trace_file": settings.trace_file,
        "trace_mode": settings.trace_mode,
    }


def _check(name: str, value: object) -> object:
    if name in ("trace_file", "trace_mode"):
        raise Unsupported(f"'{name}' can not be updated through the protocol")
    if name != "trace_level" and name not in _LEAST:
        known = ", ".join(("trace_level", *_LEAST))
        raise InvalidArgument(
            f"unknown trace setting {json_text.show(name)}, expected one of {known}"
        )
    if value is None:
        return None
    if name == "trace_level":
        return _levels(value)
    return _number(name, value)


def _levels(value: object) -> tuple[str, ...]:
    levels = value if isinstance(value, list) else [value]
    if not levels or not all(level in _LEVELS for level in levels):
        raise _wrong("trace_level", f"a list of {', '.join(_LEVELS)}", value)
    if "OFF" in levels and len(levels) > 1:
        raise _wrong("trace_level", "either OFF or a list of the other levels", value)
    return tuple(level for level in _LEVELS if level in levels)


def _number(name: str, value: object) -> int:
    number = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(number, str) and number.removeprefix("-").isdigit() and len(number) < 12:
        number = int(number) if number.isascii() else None
    if type(number) is not int or not _LEAST[name] <= number <= _MAX:
        raise _wrong(name, f"an integer from {_LEAST[name]} to {_MAX}", value)
    return number


def _wrong(name: str, expected: str, value: object) -> InvalidArgument:
    item = value[0] if isinstance(value, list) and len(value) == 1 else value
    return InvalidArgument(f"trace setting '{name}' must be {expected}, got {json_text.show(item)}")
