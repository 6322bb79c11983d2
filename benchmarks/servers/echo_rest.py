"""Echo over REST: the engine that Penstock's HTTP side runs on, with no model and no decoding.

Run with Penstock's own interpreter: ``python echo_rest.py PORT BODY_FILE``.
"""

import sys
from pathlib import Path

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

HEADERS = [(b"content-type", b"application/json")]


def application(answer: bytes):
    """Return an ASGI application that reads the whole request and answers `answer`."""
    start = {"type": "http.response.start", "status": 200, "headers": HEADERS}
    body = {"type": "http.response.body", "body": answer, "more_body": False}

    async def app(scope, receive, send) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await send(start)
        await send(body)

    return app


async def main(port: int, answer: bytes) -> None:
    """Serve until the process is ended."""
    server = Server(
        application(answer),
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        backlog=1024,
        log_enabled=False,
    )
    await server.serve()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
