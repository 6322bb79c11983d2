"""Echo over REST: Penstock's HTTP server with no model and no decoding.

Run with Penstock's own interpreter: ``python echo_rest.py PORT BODY_FILE``.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from penstock.server.exchange import Limits, Reply
from penstock.server.http_server import HttpServer
from penstock.server.sockets import bind


class Echo:
    """Answers every prediction, and anything else too, with `answer`."""

    limits = Limits()

    def __init__(self, answer: bytes) -> None:
        length = (b"content-length", b"%d" % len(answer))
        self._reply = Reply(200, [(b"content-type", b"application/json"), length], answer)

    async def infer_whole(self, path: str, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """The fast lane."""
        return self._reply

    async def __call__(self, scope, receive, send) -> None:
        """ASGI, which the readiness probe takes."""
        start = {"type": "http.response.start", "status": 200, "headers": self._reply.headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._reply.body})


async def main(port: int, answer: bytes) -> None:
    """Serve until the process is ended."""
    with bind("127.0.0.1", port, "HTTP") as listening:
        HttpServer(Echo(answer), listening, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
