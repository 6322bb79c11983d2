"""Structured logs on the standard library's logging: for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Set
from typing import Literal

import msgspec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what was passed as ``extra``.

    Args:
        process: number of the serving process, written as ``process``; 0: it is the only one.
    """

    def __init__(self, process: int = 0) -> None:
        super().__init__()
        self._process = {"process": process} if process else {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
            **{k: v for k, v in vars(record).items() if k not in _STANDARD},
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields, enc_hook=repr).decode()


class LevelSwitch(logging.Filter):
    """Lets through the levels that are switched on, while the server runs.

    Attributes:
        enabled: level names, as in ``logging.getLevelName``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enabled: Set[str] = {"INFO", "WARNING", "ERROR", "CRITICAL"}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record's level is switched on."""
        return record.levelname in self.enabled


def configure(style: Literal["human", "json"], level: str, process: int = 0) -> LevelSwitch:
    """Send the server's logs to standard error.

    Args:
        style: ``human`` or ``json``.
        level: the lowest level that is logged: debug, info, warning or error.
        process: number of the serving process, shown on each line; 0: it is the only one.

    Returns:
        the switch that the logging settings of the API move.
    """
    handler = logging.StreamHandler(sys.stderr)
    human = _HUMAN_OF_MANY.format(process) if process else _HUMAN
    formatter = logging.Formatter(human, "%H:%M:%S")
    handler.setFormatter(JsonFormatter(process) if style == "json" else formatter)
    switch = LevelSwitch()
    threshold = logging.getLevelName(level.upper())
    switch.enabled = {
        name
        for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        if logging.getLevelName(name) >= threshold
    }
    handler.addFilter(switch)
    logger = logging.getLogger("penstock")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return switch


_HUMAN = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_HUMAN_OF_MANY = "%(asctime)s %(levelname)-7s [{}] %(name)s: %(message)s"
