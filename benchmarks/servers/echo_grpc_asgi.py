"""Echo over gRPC as an ASGI application with trailers, which HTTP/2 servers carry.

pyvoy imports `app`; `python echo_grpc_asgi.py PORT` serves it with uvicorn's HTTP/2 (zttp). The
environment's ECHO_ANSWER names the file with the answer, its gRPC prefix included.
"""

import os
import sys
from pathlib import Path

ANSWER = Path(os.environ["ECHO_ANSWER"]).read_bytes()
HEADERS = [(b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0")]


async def app(scope: dict, receive: object, send: object) -> None:
    """Read the request, answer the constant."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    start = {"type": "http.response.start", "status": 200, "headers": HEADERS, "trailers": True}
    await send(start)
    await send({"type": "http.response.body", "body": ANSWER, "more_body": False})
    await send({"type": "http.response.trailers", "headers": TRAILERS})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        http="zttp",
        http2=True,
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
