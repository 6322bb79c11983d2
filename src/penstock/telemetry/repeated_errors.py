"""RepeatedErrors: the same error again and again fills no log."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeAlias

_QUIET_S: Final = 60.0
_MOST: Final = 1000
"""Places that are remembered."""

_Place: TypeAlias = tuple[str, type[BaseException], str, int]


class RepeatedErrors(logging.Filter):
    """Lets an error with a traceback through once a minute; an error of the same kind from the
    same line of code is not said again meanwhile. What has no traceback always goes through.

    A stream looks for the record that a model fails on by halving, and each half fails alike.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said_at: dict[_Place, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said."""
        info = record.exc_info
        if not info or info[0] is None:
            return True
        place = (str(record.msg), info[0], *_raised_at(info[2]))
        now = self._clock()
        said_at = self._said_at.get(place)
        if said_at is not None and now - said_at < _QUIET_S:
            return False
        if len(self._said_at) >= _MOST:
            self._said_at.clear()
        self._said_at[place] = now
        return True


def _raised_at(trace: TracebackType | None) -> tuple[str, int]:
    """The file and the line that raised."""
    frames = list(traceback.walk_tb(trace))
    if not frames:
        return "", 0
    frame, line = frames[-1]
    return frame.f_code.co_filename, line
