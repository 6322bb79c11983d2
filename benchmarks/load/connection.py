"""HTTP/1.1 over a raw socket, one request at a time: what the Python load generators speak."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.messages import HttpRequest


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
