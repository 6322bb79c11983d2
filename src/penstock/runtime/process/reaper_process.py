"""ReaperProcess: the server's side of the reaper."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from pathlib import Path

_log = logging.getLogger("penstock.runtime")

_PROGRAM = Path(__file__).with_name("reaper.py")


class ReaperProcess:
    """Keeps the reaper running while there are workers, and tells it of them.

    Concurrency: the event loop's thread; a call takes microseconds, the first one milliseconds.
    """

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """A worker has started; ``group`` is its process group."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """That worker is gone; without workers there is no reaper."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")
        if not self._groups:
            self._stop()

    def _tell(self, line: str) -> None:
        process = self._process
        if process is not None and process.poll() is None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(line.encode("ascii"))
                return
        if self._groups:
            self._start()

    def _start(self) -> None:
        """Start one, also in place of one that somebody killed, and tell it everything."""
        self._stop()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-I", "-S", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
            assert self._process.stdin is not None  # noqa: S101  # for the type checker
            self._process.stdin.write("".join(f"+{g}\n" for g in self._groups).encode("ascii"))
        except OSError as err:
            _log.warning(
                "no reaper: if this server is killed, its workers end a little later: %s", err
            )

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            threading.Thread(target=process.wait, name="penstock-reaper", daemon=True).start()
