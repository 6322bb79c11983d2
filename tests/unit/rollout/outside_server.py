"""A web server of somebody else that answers what it is told to, late or never."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Said(NamedTuple):
    """One answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}


class OutsideServer:
    """Answers by a function of the request.

    Attributes:
        answer: the function; called on a thread of each request.
        asked: every request.
        url: where it is.
        may_answer: cleared, each answer waits for it.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Asked], Said] = lambda asked: Said()
        self.asked: list[Asked] = []
        self.url = ""
        self.may_answer = threading.Event()
        self.may_answer.set()


@contextlib.contextmanager
def outside_server() -> Iterator[OutsideServer]:
    outside = OutsideServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.rfile.read(size))
            outside.asked.append(asked)
            outside.may_answer.wait(30)
            said = outside.answer(asked)
            with contextlib.suppress(OSError):
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

        do_POST = do_PATCH = do_GET

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    outside.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield outside
    finally:
        outside.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join()
