"""Outcomes as people tell them: row by row, the good ones taken and the bad ones named. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.stores.experiment_log import MAX_VALUE, PredictionOutcome

MAX_ROWS = 10_000
"""The most outcomes that are told at once."""

_FIELDS = ("prediction_id", "metric", "value", "at_ms")
_MAX_ID_CHARS = 256
_MAX_METRIC_CHARS = 128
_MAX_SHOWN_CHARS = 40
_FIRST_MS = 10**11
"""March 1973; smaller numbers are seconds."""

_MAX_AHEAD_MS = 24 * 3600 * 1000


class RejectedRow(msgspec.Struct, frozen=True):
    """A row that was not taken.

    Attributes:
        row: its number, the first one being 1.
        field: what is wrong; "": the row as a whole.
        message: what was expected, what came and what to do.
    """

    row: int
    field: str
    message: str


class ParsedOutcomes(NamedTuple):
    """Rows, sorted out.

    Attributes:
        outcomes: the good ones.
        rows: the number of each, the first row being 1.
        rejected: the bad ones.
    """

    outcomes: list[PredictionOutcome]
    rows: list[int]
    rejected: list[RejectedRow]


class _WrongFieldError(Exception):
    """A field that is not what it should be."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def parse_outcomes(rows: Sequence[Any], now_ms: int) -> ParsedOutcomes:
    """Sort rows out.

    Args:
        rows: JSON values; good ones are objects with ``prediction_id``, ``metric``, ``value``, and
            perhaps ``at_ms``.
        now_ms: the time, in milliseconds since 1970; that of outcomes without one.
    """
    parsed = ParsedOutcomes([], [], [])
    for number, row in enumerate(rows, 1):
        try:
            outcome = _outcome(row, now_ms)
        except _WrongFieldError as err:
            parsed.rejected.append(RejectedRow(number, err.field, err.message))
        else:
            parsed.outcomes.append(outcome)
            parsed.rows.append(number)
    return parsed


def _outcome(row: Any, now_ms: int) -> PredictionOutcome:
    if not isinstance(row, Mapping):
        wanted = ", ".join(_FIELDS)
        raise _WrongFieldError("", f"expected an object with {wanted}, got {_shown(row)}")
    unknown = next((name for name in row if name not in _FIELDS), None)
    if unknown is not None:
        wanted = ", ".join(_FIELDS)
        raise _WrongFieldError(str(unknown), f"no such field, expected some of {wanted}")
    return PredictionOutcome(
        _text(row, "prediction_id", _MAX_ID_CHARS),
        _text(row, "metric", _MAX_METRIC_CHARS),
        _value(row.get("value")),
        _at_ms(row.get("at_ms"), now_ms),
    )


def _text(row: Mapping[str, Any], field: str, max_chars: int) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= max_chars or not _is_unicode(value):
        wanted = f"expected a text of 1 to {max_chars} characters"
        raise _WrongFieldError(field, f"{wanted}, got {_shown(value)}")
    return value


def _value(value: Any) -> float:
    if isinstance(value, str):
        raise _WrongFieldError(
            "value",
            f"expected a number, true or false, got the text {_shown(value)}: turn a label into a "
            "number first, such as 1 where the prediction was right and 0 where it was wrong",
        )
    if not isinstance(value, int | float):
        got = "nothing" if value is None else _shown(value)
        raise _WrongFieldError("value", f"expected a number, true or false, got {got}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _WrongFieldError("value", f"expected a finite number, got {_shown(value)}")
    if abs(number) > MAX_VALUE:
        wanted = f"expected a number from -{MAX_VALUE:g} to {MAX_VALUE:g}"
        raise _WrongFieldError("value", f"{wanted}, got {_shown(value)}: is its unit right?")
    return number


def _at_ms(value: Any, now_ms: int) -> int:
    if value is None:
        return now_ms
    wanted = "expected milliseconds since 1970"
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongFieldError("at_ms", f"{wanted}, got {_shown(value)}")
    if value < _FIRST_MS:
        raise _WrongFieldError("at_ms", f"{wanted}, got {value}: seconds are multiplied by 1000")
    if value > now_ms + _MAX_AHEAD_MS:
        raise _WrongFieldError("at_ms", f"{wanted}, got {value}, which is more than a day ahead")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}..."
