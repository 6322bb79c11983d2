"""ReaperProcess: the server's side of the reaper."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

_log = logging.getLogger("penstock.runtime")

_PROGRAM = Path(__file__).with_name("reaper.py")


class ReaperProcess:
    """Keeps the reaper running while there is something to reap, and tells it of that.

    Concurrency: the event loop's thread; a call takes microseconds, the first one milliseconds.
    """

    def __init__(self) -> None:
        self._entries: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """A worker has started; ``group`` is its process group."""
        self._add(str(group))

    def remove(self, group: int) -> None:
        """That worker is gone; without anything to reap there is no reaper."""
        self._remove(str(group))

    def add_folder(self, path: Path) -> None:
        """Remove this folder, too, if this process dies; an absolute path of one line."""
        self._add(str(path))

    def remove_folder(self, path: Path) -> None:
        """That folder is gone, or shall stay."""
        self._remove(str(path))

    def _add(self, entry: str) -> None:
        self._entries.add(entry)
        self._tell(f"+{entry}\n")

    def _remove(self, entry: str) -> None:
        self._entries.discard(entry)
        self._tell(f"-{entry}\n")
        if not self._entries:
            self._stop()

    def _tell(self, line: str) -> None:
        process = self._process
        if process is not None and process.poll() is None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(os.fsencode(line))
                return
        if self._entries:
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
            self._process.stdin.write(os.fsencode("".join(f"+{e}\n" for e in self._entries)))
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
