"""Logs for people and for machines."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.telemetry.logs import JsonFormatter, LevelSwitch, configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("penstock")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def record(level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    return logging.getLogger("penstock.x").makeRecord(
        "penstock.x", level, "f.py", 1, "hello %s", ("you",), None, extra=extra
    )


def test_lines_of_several_processes_tell_which(capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("human", "json"):
        configure(style, "info", 3)  # type: ignore[arg-type]
        logging.getLogger("penstock.x").info("hello")
    human, line = capsys.readouterr().err.splitlines()
    assert "[3] penstock.x: hello" in human
    assert json.loads(line)["process"] == 3


def test_one_json_object_a_line() -> None:
    line = JsonFormatter().format(record(model="m", path=Path("/a"), text="a\nb"))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields.pop("time")
    assert fields == {
        "level": "info",
        "logger": "penstock.x",
        "message": "hello you",
        "model": "m",
        "path": repr(Path("/a")),
        "text": "a\nb",
    }


def test_an_exception_is_a_field() -> None:
    entry = record()
    try:
        raise ValueError("odd")
    except ValueError:
        entry.exc_info = sys.exc_info()
    line = JsonFormatter().format(entry)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: odd")


def test_the_switch() -> None:
    switch = LevelSwitch()
    levels = (logging.DEBUG, logging.INFO, logging.ERROR)
    assert [switch.filter(record(level)) for level in levels] == [False, True, True]
    switch.enabled = {"DEBUG", "ERROR"}
    assert [switch.filter(record(level)) for level in levels] == [True, False, True]


@pytest.mark.parametrize(
    ("level", "enabled"),
    [
        ("debug", {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}),
        ("warning", {"WARNING", "ERROR", "CRITICAL"}),
        ("error", {"ERROR", "CRITICAL"}),
    ],
)
def test_the_level(level: str, enabled: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    switch = configure("json", level)
    assert switch.enabled == enabled
    log = logging.getLogger("penstock.x")
    log.debug("quiet")
    log.error("loud")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == (["quiet", "loud"] if level == "debug" else ["loud"])


def test_configured_twice_it_speaks_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    configure("human", "info")
    logging.getLogger("penstock.x").info("hello")
    assert capsys.readouterr().err.splitlines()[0].endswith("INFO    penstock.x: hello")
