"""A server that answers as X's API v2 does; its words were taken from X's documentation."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "AAAA-very-secret-token"
_PROBLEM = "https://api.twitter.com/2/problems/"


def not_there(what: str, detail: str, kind: str = "resource-not-found") -> dict[str, Any]:
    """The 200 with ``errors`` that X answers for what it will not show."""
    return {"errors": [{"value": what, "detail": detail, "type": _PROBLEM + kind}]}


class XServer:
    """Answers by script.

    Attributes:
        url: where it is.
        replies: (status, headers, body) by path; of several the first is used up.
        requests: (path, query, authorization) of each request.
        release: a reply ``None`` hangs until it is set.
    """

    def __init__(self) -> None:
        self.url = ""
        self.replies: dict[str, list[Any]] = {}
        self.requests: list[tuple[str, dict[str, list[str]], str]] = []
        self.release = threading.Event()

    def reply(self, path: str, *replies: Any) -> None:
        self.replies[path] = list(replies)

    def next(self, path: str) -> Any:
        replies = self.replies[path]
        return replies.pop(0) if len(replies) > 1 else replies[0]


@contextmanager
def x_server() -> Iterator[XServer]:
    script = XServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            authorization = self.headers.get("Authorization", "")
            script.requests.append((parts.path, parse_qs(parts.query), authorization))
            reply = script.next(parts.path)
            if reply is None:
                script.release.wait(10)
                return
            status, headers, body = reply
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        script.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
