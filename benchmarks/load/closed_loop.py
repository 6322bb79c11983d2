"""Closed loop over HTTP/1.1 that keeps every request's time: what wrk does not tell.

``python -m benchmarks.load.closed_loop --port P --folder F --out FILE`` runs until its standard
input is closed or `--limit` seconds are over, then writes FILE: doubles in groups of three, when
the answer came (`time.monotonic` seconds, one clock for all processes), latency in seconds, and 1.0
for a good answer, 0.0 for a failed one.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import time
from array import array
from pathlib import Path

from benchmarks.load.connection import Connection, to_bytes
from benchmarks.load.request_folder import read_requests
from benchmarks.places import ROOT


class ClosedLoop:
    """`connections` keep-alive connections that each send their next request on an answer."""

    def __init__(self, port: int, requests: list[bytes], connections: int) -> None:
        self._port = port
        self._requests = requests
        self._epoll = select.epoll()
        self._by_fd: dict[int, Connection] = {}
        self._sent = 0
        self.records = array("d")
        for _ in range(connections):
            self._open()

    def _open(self) -> None:
        connection = Connection(self._port)
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        connection.send(request, time.monotonic())

    def _replace(self, connection: Connection) -> None:
        self._epoll.unregister(connection.fd)
        del self._by_fd[connection.fd]
        connection.close()
        try:
            self._open()
        except OSError:
            self.records.extend((time.monotonic(), 0.0, 0.0))

    def run(self, limit_s: float) -> None:
        """Load until standard input is closed, at most `limit_s` seconds."""
        end_s = time.monotonic() + limit_s
        stdin = sys.stdin.fileno()
        self._epoll.register(stdin, select.EPOLLIN | select.EPOLLHUP)
        while self._by_fd and time.monotonic() < end_s:
            for fd, _ in self._epoll.poll(0.1):
                if fd == stdin:
                    return
                connection = self._by_fd[fd]
                status = connection.receive()
                if status is None:
                    continue
                now, sent_s = time.monotonic(), connection.due_s or 0.0
                self.records.extend((now, now - sent_s, float(200 <= status < 400)))
                if status:
                    self._send(connection)
                else:
                    self._replace(connection)


def main() -> int:
    """Entry point of the generator's process; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds")
    given = parser.parse_args()
    requests = [to_bytes(request, given.port) for request in read_requests(given.folder)]
    loop = ClosedLoop(given.port, requests, given.connections)
    loop.run(given.limit)
    with given.out.open("wb") as out:
        loop.records.tofile(out)
    return 0


class BackgroundLoad:
    """A closed loop that runs in its own process while in the `with` block."""

    def __init__(self, port: int, folder: Path, out: Path, connections: int, limit_s: float):
        self._out = out
        self._limit_s = limit_s
        self._command = [sys.executable, "-m", "benchmarks.load.closed_loop"]
        self._command += ["--port", str(port), "--folder", str(folder), "--out", str(out)]
        self._command += ["--connections", str(connections), "--limit", str(limit_s)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BackgroundLoad:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, cwd=ROOT)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=5)

    def records(self) -> list[tuple[float, float, bool]]:
        """Return (when the answer came, latency in seconds, good) of each request, in order."""
        values = array("d")
        values.frombytes(self._out.read_bytes())
        return [(values[i], values[i + 1], values[i + 2] > 0) for i in range(0, len(values), 3)]


if __name__ == "__main__":
    sys.exit(main())
