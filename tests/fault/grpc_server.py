"""A gRPC server on libnghttp2 alone, with methods that misbehave on demand; see ``run``.

It prints its port. ``/t/Counts`` tells what is under way, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import uvloop

from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.router.route_table import HeaderNames
from penstock.server.grpc_api.call import Call, GrpcOptions
from penstock.server.grpc_http2.library import require_library
from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.server import Http2GrpcServer
from penstock.server.sockets import bind, port_of


class Methods:
    """What can be called."""

    def __init__(self) -> None:
        self.counts = {"begun": 0, "cancelled": 0, "under_way": 0}
        self.go = asyncio.Event()

    async def echo(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """The message itself."""
        return [body]

    async def big(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """As many bytes as the message says."""
        return [bytes(int(bytes(body)))]

    async def length(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """How many bytes the message has."""
        return [str(len(body)).encode()]

    async def wait(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """Nothing, until ``Go`` is called."""
        self.counts["begun"] += 1
        self.counts["under_way"] += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.counts["cancelled"] += 1
            raise
        finally:
            self.counts["under_way"] -= 1
        return [body]

    async def let_go(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """Let all that wait be answered."""
        self.go.set()
        return [b""]

    async def count(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """What is under way."""
        return [json.dumps(self.counts | {"tasks": len(asyncio.all_tasks())}).encode()]

    async def each(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        """Every message, as it comes."""
        async for message in messages:
            yield bytes(message)

    async def first(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        """The first message, and no end."""
        async for message in messages:
            yield bytes(message)
            await asyncio.Event().wait()

    def api(self) -> Any:
        """The methods by path."""
        return SimpleNamespace(
            unary={
                "/t/Echo": self.echo,
                "/t/Big": self.big,
                "/t/Length": self.length,
                "/t/Wait": self.wait,
                "/t/Go": self.let_go,
                "/t/Counts": self.count,
            },
            streaming={"/t/Each": self.each, "/t/First": self.first},
            health=SimpleNamespace(start=lambda: None, stop=lambda: None),
            headers=HeaderNames(),
        )


async def run(limits: Http2Limits, options: GrpcOptions) -> None:
    """Serve until SIGTERM, then drain."""
    server = Http2GrpcServer(Methods().api(), options, require_library(), limits)
    listening = bind("127.0.0.1", 0, "gRPC", 1024)
    await server.start_on(listening)
    sys.stdout.write(f"{port_of(listening)}\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(5.0)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    uvloop.run(run(Http2Limits(**given.get("limits", {})), GrpcOptions(**given.get("options", {}))))
