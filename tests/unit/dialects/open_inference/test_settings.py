"""The trace and logging extensions."""

from typing import Any

import pytest

from penstock.core.errors import InvalidArgument, Unsupported
from penstock.dialects.open_inference.log_settings import (
    LogSettings,
    change_log_settings,
    log_settings_body,
    read_settings_body,
)
from penstock.dialects.open_inference.trace_settings import (
    TraceBook,
    TraceSettings,
    trace_settings_body,
)


def test_log_settings_are_changed_and_shown() -> None:
    changes = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    changed = change_log_settings(LogSettings(), {**changes, "log_warnings": False})
    assert log_settings_body(changed) == {
        "log_info": False,
        "log_warning": False,
        "log_error": True,
        "log_verbose_level": 2,
        "log_format": "ISO8601",
        "log_file": "",
    }


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("log_info", 1, "log setting 'log_info' must be a boolean, got 1"),
        (
            "log_verbose_level",
            -1,
            "log setting 'log_verbose_level' must be an integer >= 0, got -1",
        ),
        ("log_verbose_level", True, "must be an integer >= 0, got true"),
        ("log_format", "xml", "log setting 'log_format' must be one of default, ISO8601, got"),
        ("log_infos", True, 'unknown log setting "log_infos", expected one of log_info'),
    ],
)
def test_wrong_log_settings(name: str, value: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        change_log_settings(LogSettings(), {name: value})
    assert text in caught.value.message


def test_files_are_not_changed_through_the_protocol() -> None:
    with pytest.raises(Unsupported, match="log file location can not be updated"):
        change_log_settings(LogSettings(), {"log_file": "/tmp/x"})
    for name in ("trace_file", "trace_mode"):
        with pytest.raises(Unsupported, match=f"'{name}' can not be updated"):
            TraceBook().change({name: "x"})


def test_bodies_of_settings() -> None:
    assert read_settings_body(b"") == {}
    assert read_settings_body(b'{"log_info":false}') == {"log_info": False}
    with pytest.raises(InvalidArgument, match="must be a JSON object"):
        read_settings_body(b"[]")


def test_trace_settings_are_text() -> None:
    book = TraceBook().change(
        {"trace_level": ["TENSORS", "TIMESTAMPS"], "trace_rate": "5", "trace_count": 10}
    )
    settings = book.settings()
    assert settings.active
    assert trace_settings_body(settings) == {
        "trace_level": ["TIMESTAMPS", "TENSORS"],
        "trace_rate": "5",
        "trace_count": "10",
        "log_frequency": "0",
        "trace_file": "",
        "trace_mode": "triton",
    }


def test_a_model_follows_all_models_until_it_says_otherwise_and_after_a_reset() -> None:
    book = TraceBook(TraceSettings(trace_rate=7)).change({"trace_rate": ["9"]}, "m")
    book = book.change({"trace_level": "TIMESTAMPS", "trace_rate": 8})
    assert book.settings("m").trace_rate == 9
    assert book.settings("m").trace_level == ("TIMESTAMPS",)
    assert book.settings("other").trace_rate == 8
    book = book.change({"trace_rate": None}, "m")
    assert book.settings("m").trace_rate == 8
    assert book.models == {}
    assert book.change({"trace_rate": None}).settings("m").trace_rate == 7


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("trace_rate", "0", "trace setting 'trace_rate' must be an integer from 1 to"),
        ("trace_rate", "x", 'got "x"'),
        ("trace_rate", True, "got true"),
        ("trace_rate", ["1", "2"], "got an array"),
        ("trace_count", "-2", 'must be an integer from -1 to 2147483647, got "-2"'),
        ("log_frequency", 2**31, "got 2147483648"),
        ("trace_level", ["ON"], 'a list of OFF, TIMESTAMPS, TENSORS, got "ON"'),
        ("trace_level", [], "a list of OFF"),
        ("trace_level", [["OFF"]], "a list of OFF"),
        ("trace_level", ["OFF", "TENSORS"], "either OFF or a list of the other levels"),
        ("trace_rates", "1", 'unknown trace setting "trace_rates"'),
    ],
)
def test_wrong_trace_settings(name: str, value: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        TraceBook().change({name: value})
    assert text in caught.value.message
