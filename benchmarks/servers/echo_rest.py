"""Echo over REST: Penstock's HTTP server with no model and no decoding.

``python echo_rest.py PORT JSON_FILE BINARY_FILE HEADER_BYTES``, with Penstock's own interpreter.
A request in JSON is answered with the one file, any other with the other, whose first HEADER_BYTES
are the V2 binary extension's header. A body is read whole, and that is all.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from penstock.server.exchange import Limits, Reply
from penstock.server.http_server import HttpServer
from penstock.server.sockets import bind


class Echo:
    """Answers every prediction, and anything else too, with one of two constants."""

    limits = Limits()

    def __init__(self, in_json: bytes, in_binary: bytes, header_bytes: bytes) -> None:
        length = (b"inference-header-content-length", header_bytes)
        self._json = _reply(in_json, (b"content-type", b"application/json"))
        self._binary = _reply(in_binary, (b"content-type", b"application/octet-stream"), length)

    def _answer(self, headers: dict[bytes, bytes]) -> Reply:
        in_json = headers.get(b"content-type", b"application/json") == b"application/json"
        return self._json if in_json else self._binary

    async def infer_whole(
        self, path: str, headers: dict[bytes, bytes], body: bytes, client: str
    ) -> Reply:
        """The fast lane, which has read the body."""
        return self._answer(headers)

    async def __call__(self, scope, receive, send) -> None:
        """ASGI, the way of what the fast lane does not take."""
        while (await receive()).get("more_body"):
            pass
        reply = self._answer(dict(scope["headers"]))
        start = {"type": "http.response.start", "status": 200, "headers": reply.headers}
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})


def _reply(body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(200, [*headers, (b"content-length", b"%d" % len(body))], body)


async def main(port: int, echo: Echo) -> None:
    """Serve until the process is ended."""
    with bind("127.0.0.1", port, "HTTP") as listening:
        HttpServer(echo, listening, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    _, number, first, second, size = sys.argv
    answers = Echo(Path(first).read_bytes(), Path(second).read_bytes(), size.encode())
    uvloop.run(main(int(number), answers))
