"""An error of one line of code is said once a minute."""

from __future__ import annotations

import logging
import sys

from penstock.telemetry.repeated_errors import RepeatedErrors


def raised(error: Exception, other_line: bool = False) -> logging.LogRecord:
    """A record of an error, raised on one of two lines."""
    try:
        if other_line:
            raise error
        raise error
    except Exception:  # noqa: BLE001 - as a model's code
        return logging.LogRecord("m", logging.ERROR, "", 1, "%s raised", ("m",), sys.exc_info())


def test_a_traceback_is_said_once_a_minute() -> None:
    now = 100.0
    errors = RepeatedErrors(lambda: now)
    assert errors.filter(raised(ValueError("a")))
    assert not errors.filter(raised(ValueError("b")))
    assert errors.filter(raised(TypeError("a")))
    assert errors.filter(raised(ValueError("a"), other_line=True))
    now = 159.9
    assert not errors.filter(raised(ValueError("a")))
    now = 160.0
    assert errors.filter(raised(ValueError("a")))
    assert not errors.filter(raised(ValueError("a")))


def test_what_has_no_traceback_is_said_each_time() -> None:
    errors = RepeatedErrors()
    for _ in range(2):
        record = logging.LogRecord("m", logging.WARNING, "", 1, "again", (), None)
        assert errors.filter(record)
        record.exc_info = (None, None, None)
        assert errors.filter(record)


def test_what_is_remembered_does_not_grow_for_ever() -> None:
    errors = RepeatedErrors(lambda: 0.0)
    for number in range(1500):
        record = raised(ValueError("a"))
        record.msg = str(number)
        assert errors.filter(record)
    assert len(errors._said_at) <= 1000
