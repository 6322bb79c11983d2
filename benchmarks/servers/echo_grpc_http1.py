"""Echo of gRPC over HTTP/1.1 with chunked trailers, for an Envoy in front that speaks HTTP/2.

``python echo_grpc_http1.py SOCKET_PATH ANSWER_FILE``, the answer with its gRPC prefix.
"""

import asyncio
import sys
from pathlib import Path

import httptools
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntrailer: grpc-status\r\n"
HEAD += b"transfer-encoding: chunked\r\n\r\n"
END = b"\r\n0\r\ngrpc-status: 0\r\n\r\n"


class Echo(asyncio.Protocol):
    """One connection of Envoy's."""

    def __init__(self, answer: bytes) -> None:
        self.wire = HEAD + b"%x\r\n" % len(answer) + answer + END

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to parse."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer the constant."""
        self.transport.write(self.wire)


async def main(path: str, answer: bytes) -> None:
    """Serve on a Unix socket until the process is ended."""
    loop = asyncio.get_running_loop()
    await loop.create_unix_server(lambda: Echo(answer), path, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes()))
