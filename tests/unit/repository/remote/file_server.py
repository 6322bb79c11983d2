"""A small web server of files that breaks as it is told: refuses, stalls, drips, breaks off."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


@dataclass
class Served:
    """What is at one path, and how it is given.

    Attributes:
        content: the file.
        statuses: answers to give before it, first come first.
        has_ranges: whether a part can be asked for.
        breaks_after: bytes after which each connection ends, for so many answers.
        breaks: how many answers break off.
        etag: told, and held against ``If-Range``; "": none.
        stall: where set, the answer waits for it in the middle.
        location: a redirect.
    """

    content: bytes = b""
    statuses: list[int] = field(default_factory=list)
    has_ranges: bool = True
    breaks_after: int = 0
    breaks: int = 0
    etag: str = ""
    stall: threading.Event | None = None
    location: str = ""
    content_type: str = "application/octet-stream"


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    range: str
    authorization: str


class FileServer:
    """Files by path, and what was asked for."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self._server.server_port}"

    def ranges(self, path: str) -> list[str]:
        """The ranges asked for of a path; "" for all of it."""
        return [one.range for one in self.asked if one.path == path and one.method == "GET"]

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            for served in self.files.values():
                if served.stall is not None:
                    served.stall.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    server._answer(self)

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        authorization = request.headers.get("Authorization", "")
        self.asked.append(Asked(request.command, request.path, wanted, authorization))
        served = self.files.get(request.path)
        status = 404 if served is None else served.statuses.pop(0) if served.statuses else 200
        if served is None or status != 200:
            request.send_response(status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if served.location:
            request.send_response(302)
            request.send_header("Location", served.location)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        self._send(request, served, wanted)

    def _send(self, request: BaseHTTPRequestHandler, served: Served, wanted: str) -> None:
        start, size = 0, len(served.content)
        is_same = request.headers.get("If-Range", served.etag) == served.etag
        if wanted and served.has_ranges and is_same:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= size:
                request.send_response(416)
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(size - start))
        request.send_header("Content-Type", served.content_type)
        if served.etag:
            request.send_header("ETag", served.etag)
        request.end_headers()
        if request.command == "HEAD":
            return
        body = served.content[start:]
        if served.breaks > 0:
            served.breaks -= 1
            request.wfile.write(body[: served.breaks_after])
            request.close_connection = True
            return
        if served.stall is not None:
            request.wfile.write(body[:1])
            request.wfile.flush()
            served.stall.wait(30)
            body = body[1:]
        request.wfile.write(body)
