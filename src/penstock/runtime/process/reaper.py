"""The reaper: ends every worker of a server that died without doing it itself.

A program of its own, run by the server as ``python -I -S reaper.py``: it reads lines, ``+PID``
and ``-PID``, and when the pipe closes, however the server died, it kills the process groups that
are left.
Standard library only, and little of it: it must cost nothing.
"""

import os
import signal
import sys


def main() -> None:
    """Read until the server has gone, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            continue


if __name__ == "__main__":
    main()
