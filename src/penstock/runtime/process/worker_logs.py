"""A worker's log records: sent to the server, which writes them where its own go."""

from __future__ import annotations

import logging

from penstock.runtime.process.frame import Log
from penstock.runtime.process.worker_channel import WorkerChannel

_MAX_TEXT = 64 * 1024


class _ChannelHandler(logging.Handler):
    def __init__(self, channel: WorkerChannel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record; a channel that is gone or a wrong record is not the model's trouble."""
        try:
            text = self.format(record)[:_MAX_TEXT].encode(errors="backslashreplace").decode()
            self._channel.send(Log(record.levelno, record.name, text))
        except OSError:
            return
        except Exception:  # noqa: BLE001  # as every handler of the standard library does
            self.handleError(record)


def send_logs_to(channel: WorkerChannel) -> None:
    """From now on every record of level INFO and above goes to the server."""
    handlers = [_ChannelHandler(channel)]
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
