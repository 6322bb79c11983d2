"""The reaper: ends every worker of a server that died without doing it itself.

A program of its own, run by the server as ``python -I -S reaper.py``: it reads lines, ``+PID``
and ``-PID``, and when the pipe closes, however the server died, it kills the process groups that
are left. A path in the place of a PID is a folder that shall not be left either.
Standard library only, and little of it: it must cost nothing.
"""

import os
import signal
import sys

_ATTEMPTS = 50
_PAUSE_S = 0.02


def main() -> None:
    """Read until the server has gone, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left: set[str] = set()
    for line in sys.stdin:
        entry = line[1:].rstrip("\n")
        if line[0] == "+":
            left.add(entry)
        else:
            left.discard(entry)
    folders = {entry for entry in left if entry.startswith("/")}
    for group in left - folders:
        try:
            os.killpg(int(group), signal.SIGKILL)
        except OSError:
            continue
    for folder in folders:
        remove(folder)


def remove(folder: str) -> None:
    """Remove a folder; again, should one who dies still have written there."""
    import shutil
    import time

    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):  # noqa: PTH110  # no pathlib for so little
            return
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
