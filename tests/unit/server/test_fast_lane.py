"""FastLane: both ways of a request give the same, and a connection keeps to its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.errors import PenstockError
from penstock.server.exchange import Headers, Limits, Reply, read_body
from penstock.server.http_server import HttpServer
from penstock.server.sockets import bind, port_of

INFER = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%b\r\n%b"
OTHER = b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n"


class EchoApp:
    """Answers with the body it was sent, and remembers which way that came."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.short = 0
        self.ordinary = 0
        self.refused: list[str] = []
        self.connections: set[Any] = set()
        self.clients: set[str] = set()
        self.cancelled = asyncio.Event()
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def infer_whole(
        self, path: str, headers: Headers, body: bytes, client: str
    ) -> Reply | None:
        self.short += 1
        self.clients.add(client)
        await self._wait()
        return Reply(200, [(b"content-length", b"%d" % len(body))], body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.ordinary += 1
        body = await read_body(dict(scope["headers"]), receive, self.limits)
        await self._wait()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def refuse(self, error: PenstockError, status: int) -> Reply:
        self.refused.append(error.code)
        body = error.message.encode()
        return Reply(status, [(b"content-length", b"%d" % len(body))], body, close=True)

    async def _wait(self) -> None:
        self.arrived.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(limits: Limits | None = None) -> AsyncIterator[tuple[EchoApp, Connection]]:
    app = EchoApp(limits or Limits())
    with bind("127.0.0.1", 0, "HTTP") as listening:
        server = HttpServer(app, listening, backlog=16)
        port = port_of(listening)
        server.start()
        app.connections = server._server.server_state.connections
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield app, (reader, writer)
        finally:
            app.gate.set()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            await server.stop(1.0)


async def answer(reader: asyncio.StreamReader) -> tuple[int, Headers, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode().strip().split("\r\n")
    headers = {k.lower().encode(): v.strip().encode() for k, v in (x.split(":", 1) for x in lines)}
    body = await reader.readexactly(int(headers[b"content-length"]))
    return int(status.split()[1]), headers, body


def infer(body: bytes, extra: bytes = b"") -> bytes:
    return INFER % (len(body), extra, body)


async def test_a_request_in_one_piece_goes_the_short_way() -> None:
    async with connected() as (app, (reader, writer)):
        writer.write(infer(b"hello"))
        assert (await answer(reader))[::2] == (200, b"hello")
        assert (app.short, app.ordinary) == (1, 0)
        assert app.clients == {"127.0.0.1"}


@pytest.mark.parametrize(
    "request_",
    [
        OTHER,
        b"POST /v2/models/m%2F/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"GET /v2/models/m/infer HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v2/models/m/infer?a=b HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST /v2/models/m/infer?a=/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST /v2/models/m#/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST http://x/v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\nHost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x/y\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_everything_else_goes_the_ordinary_way(request_: bytes) -> None:
    async with connected() as (app, (reader, writer)):
        writer.write(request_)
        assert (await answer(reader))[::2] == (200, b"")
        assert (app.short, app.ordinary) == (0, 1)


async def test_a_body_that_is_asked_to_continue_is_let_come() -> None:
    async with connected() as (_, (reader, writer)):
        head, body = infer(b"later", b"expect: 100-continue\r\n").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await answer(reader))[2] == b"later"


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 600), max_size=6),
)
def test_however_the_bytes_come_the_answers_are_those_of_the_requests_in_order(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(infer(body) for body in bodies)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})

    async def run() -> list[bytes]:
        async with connected() as (_, (reader, writer)):
            for start, end in pairwise(edges):
                writer.write(stream[start:end])
                await writer.drain()
                await asyncio.sleep(0)
            return [(await answer(reader))[2] for _ in bodies]

    assert asyncio.run(run()) == bodies


async def test_a_client_that_says_close_is_told_so_and_closed() -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(infer(b"bye", b"connection: close\r\n"))
        status, headers, body = await answer(reader)
        assert (status, headers[b"connection"], body) == (200, b"close", b"bye")
        assert await reader.read() == b""


async def test_a_client_that_goes_away_ends_its_request() -> None:
    async with connected() as (app, (_, writer)):
        app.gate.clear()
        writer.write(infer(b"x"))
        await app.arrived.wait()
        writer.close()
        await app.cancelled.wait()
        assert app.short == 1


async def test_what_is_no_http_is_refused_and_counted() -> None:
    async with connected() as (app, (reader, writer)):
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        status, headers, body = await answer(reader)
        assert (status, headers[b"connection"]) == (400, b"close")
        assert body == b"Invalid HTTP request received."
        assert app.refused == ["invalid_argument"]
        assert await reader.read() == b""


async def test_a_head_is_not_endless() -> None:
    async with connected(Limits(max_header_bytes=2048)) as (app, (reader, writer)):
        writer.write(b"GET / HTTP/1.1\r\nx: " + b"a" * 4096)
        status, _, body = await answer(reader)
        assert (status, body) == (431, b"the request's head exceeds 2048 bytes")
        assert (app.short, app.ordinary) == (0, 0)
        assert await reader.read() == b""


@pytest.mark.parametrize("sent", [b"", b"POST /v2/mod"])
async def test_a_head_that_never_comes_does_not_keep_the_connection(sent: bytes) -> None:
    async with connected(Limits(header_timeout_s=0.05, keep_alive_s=0.05)) as (_, connection):
        reader, writer = connection
        writer.write(sent)
        assert await reader.read() == b""


async def test_an_idle_connection_is_kept_and_then_closed_but_never_under_a_request() -> None:
    async with connected(Limits(header_timeout_s=0.1, keep_alive_s=0.5)) as (app, connection):
        reader, writer = connection
        for _ in range(2):
            writer.write(infer(b"a"))
            assert (await answer(reader))[2] == b"a"
        app.gate.clear()
        writer.write(infer(b"slow"))
        asyncio.get_running_loop().call_later(0.8, app.gate.set)
        assert (await answer(reader))[2] == b"slow"
        assert await reader.read() == b""


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_upgrade_is_declined_and_its_body_is_a_body(pieces: int) -> None:
    async with connected() as (app, (reader, writer)):
        smuggled = OTHER
        head, body = infer(smuggled, UPGRADE).split(b"\r\n\r\n", 1)
        for part in [head + b"\r\n\r\n" + body] if pieces == 1 else [head + b"\r\n\r\n", body]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await answer(reader))[::2] == (200, smuggled)
        writer.write(infer(b"next"))
        assert (await answer(reader))[::2] == (200, b"next")
        assert app.short + app.ordinary == 2


async def test_a_declined_upgrade_still_closes_where_that_was_asked_for() -> None:
    async with connected() as (_, (reader, writer)):
        writer.write(infer(b"last", UPGRADE.replace(b"connection: ", b"connection: Close, ")))
        status, headers, body = await answer(reader)
        assert (status, body) == (200, b"last")
        assert headers[b"connection"] == b"close"
        assert await reader.read() == b""


async def test_it_is_no_proxy() -> None:
    async with connected() as (app, (reader, writer)):
        writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        status, _, body = await answer(reader)
        assert (status, body) == (400, b"this server is no proxy: CONNECT is not served")
        assert await reader.read() == b""
        assert app.short + app.ordinary == 0


async def test_as_many_upgrades_as_a_packet_holds_are_declined() -> None:
    async with connected() as (_, (reader, writer)):
        requests = 1500
        writer.write(b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n" * requests)
        for _ in range(requests):
            assert (await answer(reader))[0] == 200


CHUNKED = (
    b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n%b\r\n"
)


@pytest.mark.parametrize("path", [b"/v2/models/m/infer", b"/elsewhere"])
async def test_trailers_are_no_headers_and_not_endless(path: bytes) -> None:
    async with connected(Limits(max_header_bytes=2048)) as (app, (reader, writer)):
        writer.write(CHUNKED % (path, b"content-encoding: gzip\r\n"))
        assert (await answer(reader))[::2] == (200, b"hello")
        app.gate.clear()
        endless = (CHUNKED % (path, b""))[: -len(b"\r\n")]
        for _ in range(3):
            endless += b"x: " + b"a" * 1024 + b"\r\n"
        writer.write(endless)
        assert (await answer(reader))[0] == 431
        assert app.refused == ["invalid_argument"]


async def test_a_client_that_does_not_read_is_let_go() -> None:
    limits = Limits(header_timeout_s=0.02, write_timeout_s=0.1)
    async with connected(limits) as (app, (_, writer)):
        for _ in range(2):
            writer.write(infer(bytes(8 << 20)))
        await writer.drain()
        async with asyncio.timeout(10):
            while app.connections:  # noqa: ASYNC110  # the server has no event for it
                await asyncio.sleep(0)
        assert app.short + app.ordinary >= 1


async def test_a_reply_may_end_the_connection() -> None:
    async with connected() as (app, (reader, writer)):

        async def closing(path: str, headers: Headers, body: bytes, client: str) -> Reply:
            return Reply(200, [(b"content-length", b"0")], b"", close=True)

        app.infer_whole = closing  # type: ignore[method-assign]
        writer.write(infer(b"x") + infer(b"y"))
        _, headers, _ = await answer(reader)
        assert headers[b"connection"] == b"close"
        assert await reader.read() == b""


async def test_pipelined_requests_end_with_their_client() -> None:
    async with connected() as (app, (_, writer)):
        app.gate.clear()
        writer.write(infer(b"a") + infer(b"b"))
        await app.arrived.wait()
        (connection,) = app.connections
        assert len(connection.pipeline) == 1
        connection.connection_lost(ConnectionResetError())
        await app.cancelled.wait()
        assert not connection.pipeline
        assert (app.short, app.ordinary) == (1, 0)


@pytest.mark.parametrize("size", [5, 200_000, 3_000_000])
async def test_a_body_in_pieces_goes_the_short_way_too(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with connected() as (app, (reader, writer)):
        request = infer(body)
        cut = request.index(b"\r\n\r\n") + 4
        writer.write(request[:cut])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(request[cut : cut + 1])
        await asyncio.sleep(0.01)
        writer.write(request[cut + 1 :] + infer(b"next"))
        assert (await answer(reader))[::2] == (200, body)
        assert (await answer(reader))[::2] == (200, b"next")
        assert (app.short, app.ordinary) == (2, 0)


@pytest.mark.parametrize(
    ("head", "limits"),
    [
        (b"content-encoding: gzip\r\n", Limits()),
        (b"", Limits(max_body_bytes=4)),
    ],
)
async def test_a_body_that_is_packed_or_too_large_goes_the_ordinary_way(
    head: bytes, limits: Limits
) -> None:
    async with connected(limits) as (app, (_, writer)):
        request = infer(b"hello", head)
        writer.write(request[:-5])
        await asyncio.sleep(0.01)
        writer.write(request[-5:])
        await _until(lambda: app.ordinary == 1)
        assert app.short == 0


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async with connected(Limits(body_timeout_s=0.05)) as (app, (reader, writer)):
        writer.write(infer(b"hello")[:-2])
        status, _, body = await answer(reader)
        assert (status, body) == (408, b"the body did not come within 0.05 seconds")
        assert app.refused == ["deadline_exceeded"]
        assert await reader.read() == b""


async def test_a_client_that_leaves_within_its_body_leaves_nothing_behind() -> None:
    async with connected() as (app, (_, writer)):
        writer.write(infer(b"x" * 100_000)[:-2])
        await _until(lambda: len(app.connections) == 1)
        writer.close()
        await _until(lambda: not app.connections)
        assert (app.short, app.ordinary) == (0, 0)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.005)
