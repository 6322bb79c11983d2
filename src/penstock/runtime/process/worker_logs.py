"""A worker's log records: sent to the server, which writes them where its own go."""

from __future__ import annotations

import contextlib
import logging

from penstock.runtime.process.frame import Log
from penstock.runtime.process.worker_channel import WorkerChannel

_MAX_TEXT = 64 * 1024


class _ChannelHandler(logging.Handler):
    def __init__(self, channel: WorkerChannel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record; a channel that is gone is nobody's trouble."""
        with contextlib.suppress(OSError):
            text = self.format(record)[:_MAX_TEXT]
            self._channel.send(Log(record.levelno, record.name, text))


def send_logs_to(channel: WorkerChannel) -> None:
    """From now on every record of level INFO and above goes to the server."""
    logging.basicConfig(level=logging.INFO, handlers=[_ChannelHandler(channel)], force=True)
