"""An HTTP API on this machine that answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec


class Asked(NamedTuple):
    """A request.

    Attributes:
        path: without the query.
        query: its parameters.
        headers: with small letters.
        count: how many came before it.
    """

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    count: int


class Answer(NamedTuple):
    """What comes back: a document, or bytes as they are."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class PageServer:
    """A server.

    Attributes:
        url: its address.
        asked: all requests so far.
    """

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(parts.path, dict(parse_qsl(parts.query)), headers, len(outer.asked))
                outer.asked.append(asked)
                body, status, more = outer.answer(asked)
                data = body if isinstance(body, bytes) else msgspec.json.encode(body)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/items"


@contextmanager
def page_server(answer: Callable[[Asked], Answer]) -> Iterator[PageServer]:
    """A server while the block runs."""
    served = PageServer(answer)
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        thread.join()
        served.server.server_close()
