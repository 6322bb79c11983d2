"""Open loop over HTTP/1.1: requests leave on a schedule, whatever the server does.

A request's latency runs from the moment it was due, not from when it could be sent: a request
that finds no free connection waits, and its wait counts. A failed request (refused, cut off, status
400 and above, no answer within the timeout) counts in the distribution at the timeout.

One process, one thread, raw sockets under epoll; arrivals are timed by a timerfd. `lag` in the
result is how late the generator itself was with a request that had a free connection: when its p99
passes a millisecond, the tail is the generator's or the machine's. Its ceiling, about 9,000
requests/s on 2 cores shared with an echo, is in benchmarks/README.md.

``python -m benchmarks.load.open_loop --port P --folder F --rate R`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load.request_folder import read_requests
from benchmarks.load.wrk import LoadError
from benchmarks.percentiles import latency_summary_ms, percentile
from benchmarks.places import ROOT

if TYPE_CHECKING:
    from benchmarks.messages import HttpRequest

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _TimerSpec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class Alarm:
    """A timerfd on the clock of `time.monotonic`; epoll alone rounds waits up to 1 ms."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._libc.prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: 1 ns instead of 50 us
        self._spec = _TimerSpec()
        self._pointer = ctypes.byref(self._spec)

    def set(self, when_s: float) -> None:
        """Become readable at `when_s` (`time.monotonic` seconds, above 0)."""
        value = self._spec.value
        value.seconds = int(when_s)
        value.nanoseconds = int((when_s - value.seconds) * 1e9)
        self._libc.timerfd_settime(self.fd, _ABSOLUTE, self._pointer, None)


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        self.due_s: float | None = None
        self._received = b""

    def send(self, request: bytes, due_s: float) -> bool:
        """Send `request`, due at `due_s`; False when the connection is broken."""
        self.due_s = due_s
        self._received = b""
        try:
            return self.socket.send(request) == len(request)
        except OSError:
            return False

    def receive(self) -> int | None:
        """Read what came; return the status when the answer is whole, None before, 0 on a break."""
        try:
            part = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        if not part:
            return 0
        self._received = self._received + part if self._received else part
        return answer_status(self._received)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def answer_status(received: bytes) -> int | None:
    """Return the status of a whole HTTP/1.1 answer in `received`, None when more has to come."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    status = int(head[9:12])
    at = head.find(b"content-length:")
    if at >= 0:
        stop = head.find(b"\r\n", at)
        length = int(head[at + 15 : stop if stop >= 0 else end])
        return status if len(received) >= end + 4 + length else None
    if b"transfer-encoding: chunked" in head:
        return status if received.endswith(b"0\r\n\r\n") else None
    return status


def to_bytes(request: HttpRequest, port: int) -> bytes:
    """Return `request` as it goes over the wire."""
    headers = {"Host": f"127.0.0.1:{port}", **request.headers}
    headers["Content-Length"] = str(len(request.body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body


def schedule(rate: float, duration_s: float, arrivals: str, seed: int) -> list[float]:
    """Return the due times in seconds from the start, ascending, at `rate` per second.

    `arrivals` is "poisson" (independent users) or "constant" (a metronome).
    """
    count = max(1, int(rate * duration_s))
    if arrivals == "constant":
        return [number / rate for number in range(count)]
    source = random.Random(seed)
    at, due = 0.0, []
    for _ in range(count):
        at += source.expovariate(rate)
        due.append(at)
    return due


class OpenLoop:
    """One run: holds the connections, the schedule and what was measured."""

    def __init__(self, port: int, requests: list[bytes], connections: int, timeout_s: float):
        self._port = port
        self._requests = requests
        self._timeout_s = timeout_s
        self._epoll = select.epoll()
        self._alarm = Alarm()
        self._epoll.register(self._alarm.fd, select.EPOLLIN | select.EPOLLET)
        self._by_fd: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._sent = 0
        self.latencies_s: list[float] = []
        self.lags_s: list[float] = []
        self.failures = 0
        for _ in range(connections):
            self._open()

    def _open(self) -> None:
        connection = Connection(self._port)
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)
        self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        self._epoll.unregister(connection.fd)
        del self._by_fd[connection.fd]
        connection.close()
        try:
            self._open()
        except OSError:
            return

    def _fail(self) -> None:
        self.failures += 1
        self.latencies_s.append(self._timeout_s)

    def _send(self, due_s: float) -> None:
        connection = self._idle.pop()
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        if not connection.send(request, due_s):
            self._fail()
            self._drop(connection)

    def _take(self, connection: Connection) -> None:
        status = connection.receive()
        if status is None:
            return
        if connection.due_s is None:  # closed while idle
            self._idle.remove(connection)
            self._drop(connection)
            return
        if 200 <= status < 400:
            took_s = time.monotonic() - connection.due_s
            self.latencies_s.append(min(took_s, self._timeout_s))
            self.failures += took_s > self._timeout_s
        else:
            self._fail()
        connection.due_s = None
        if status:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _send_due(self, pending: deque[float], now: float) -> None:
        while self._idle and self._waiting:
            self._send(self._waiting.popleft())
        while pending and pending[0] <= now:
            due_s = pending.popleft()
            if self._idle:
                self.lags_s.append(now - due_s)
                self._send(due_s)
            else:
                self._waiting.append(due_s)

    def run(self, due: list[float]) -> float:
        """Send on the schedule `due`, wait for the answers; return the seconds of the sending."""
        start = time.monotonic() + 0.05
        pending = deque(start + offset for offset in due)
        last = pending[-1]
        while True:
            now = time.monotonic()
            self._send_due(pending, now)
            complete = not pending and len(self.latencies_s) >= len(due)
            if complete or now > last + self._timeout_s or not self._by_fd:
                break
            if pending:
                self._alarm.set(pending[0])
            for fd, _ in self._epoll.poll(0.1):
                connection = self._by_fd.get(fd)
                if connection is not None:
                    self._take(connection)
        for _ in range(len(due) - len(self.latencies_s)):
            self._fail()
        return last - start

    def close(self) -> None:
        """Close all connections."""
        for connection in self._by_fd.values():
            connection.close()
        self._epoll.close()
        os.close(self._alarm.fd)


def main() -> int:
    """Entry point of the generator's process; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds")
    parser.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    requests = [to_bytes(request, given.port) for request in read_requests(given.folder)]
    loop = OpenLoop(given.port, requests, given.connections, given.timeout)
    try:
        took_s = loop.run(schedule(given.rate, given.duration, given.arrivals, given.seed))
    finally:
        loop.close()
    lags = sorted(loop.lags_s) or [0.0]
    result = {
        "rate_asked": given.rate,
        "rate_sent": len(loop.latencies_s) / took_s if took_s > 0 else given.rate,
        "requests": len(loop.latencies_s),
        "failed": loop.failures,
        "connections": given.connections,
        "arrivals": given.arrivals,
        "timeout_s": given.timeout,
        "lag_p99_ms": percentile(lags, 0.99) * 1e3,
        **latency_summary_ms(loop.latencies_s),
    }
    print(json.dumps(result))
    return 0


def run_open_loop(
    port: int,
    folder: Path,
    rate: float,
    duration_s: float,
    *,
    connections: int = 64,
    arrivals: str = "poisson",
    timeout_s: float = 5.0,
) -> dict[str, float]:
    """Run the generator in its own process at `rate` requests/s; return what `main` prints.

    Raises LoadError when it fails or does not end in time.
    """
    command = [sys.executable, "-m", "benchmarks.load.open_loop", "--port", str(port)]
    command += ["--folder", str(folder), "--rate", f"{rate:.3f}", "--duration", f"{duration_s}"]
    command += ["--connections", str(connections), "--timeout", f"{timeout_s}"]
    command += ["--arrivals", arrivals]
    limit_s = duration_s * 1.5 + timeout_s + 20
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, cwd=ROOT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError("the open-loop generator did not end") from error
    if done.returncode != 0:
        raise LoadError(f"the open-loop generator failed: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
