"""The signals that end a server."""

from __future__ import annotations

import asyncio
import signal

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_event(*, is_supervised: bool = False) -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once.

    Args:
        is_supervised: whether a supervisor decides how long the end may take: later signals do
            nothing then, because a signal to the whole group is followed by the supervisor's own.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stopped.set()
        for number in _SIGNALS:
            if not is_supervised:
                loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN if is_supervised else signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    return stopped
