"""stopping: Ctrl-C and SIGTERM as an event that a job looks at."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first of these signals sets; the second does what it did before.

    Concurrency: the main thread.
    """
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {one: signal.getsignal(one) for one in _SIGNALS}

    def take(number: int, frame: FrameType | None) -> None:
        stop.set()
        _restore(before)

    for one in _SIGNALS:
        signal.signal(one, take)
    try:
        yield stop
    finally:
        _restore(before)


def _restore(before: dict[signal.Signals, Any]) -> None:
    for one, handler in before.items():
        signal.signal(one, handler)
