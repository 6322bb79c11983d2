"""What a route may look at: the headers and the client of a request, at every door."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from penstock.core.clock import SystemClock
from penstock.core.errors import NotFound
from penstock.core.messages import InferRequest
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from penstock.router.route import Route, RoutingKey, Variant
from penstock.router.route_table import RouteTable
from penstock.server.exchange import Limits
from penstock.server.grpc_api.api import GrpcApi
from penstock.server.grpc_api.call import GrpcOptions
from penstock.server.grpc_engine import EngineName, load_engine
from penstock.server.http import HttpApp
from penstock.server.http_server import HttpServer
from penstock.server.sockets import bind, port_of
from penstock.telemetry.stats import EdgeStats

LIMIT_S = 10
BODY = b'{"inputs": []}'
METADATA = (("x-user", "42"), ("x-other", "1"), ("x-request-id", "r1"))


class Keeper:
    """A service that keeps what it is asked, and answers nothing."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.routes = RouteTable()
        self.edge = EdgeStats()
        self.recorders: list[Any] = []
        self.is_draining = False
        self.asked: list[InferRequest] = []

    async def infer(self, request: InferRequest) -> Any:
        self.asked.append(request)
        raise NotFound("nothing is served here")

    def reject(self, *args: Any) -> None:
        """It is counted nowhere."""

    def route(self, **fields: Any) -> None:
        variant = Variant(name="only", version=1, weight=100)
        self.routes.set("m", Route(variants=(variant,), **fields))


@pytest.fixture
def service() -> Keeper:
    return Keeper()


@pytest.fixture(params=["nghttp2", "grpcio"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name


@pytest.fixture
async def stub(service: Keeper, engine: EngineName) -> AsyncIterator[Any]:
    fake: Any = service
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    server = load_engine(engine)(GrpcApi(fake, fake, fake), GrpcOptions())
    await server.start(address)
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    await server.stop(0)


async def call(stub: Any) -> None:
    message = pb.ModelInferRequest(model_name="m")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ModelInfer(message, metadata=METADATA, timeout=LIMIT_S)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_grpc_gives_what_a_route_looks_at(service: Keeper, stub: Any) -> None:
    await call(stub)
    assert (dict(service.asked[0].headers), service.asked[0].client) == ({}, "")
    service.route(key=RoutingKey(header="x-user"), experiment="e")
    await call(stub)
    headers = service.asked[1].headers
    assert headers.get(b"x-user") == b"42"
    assert headers.get(b"x-request-id") == b"r1"
    assert service.asked[1].client == "127.0.0.1"


async def test_the_fast_engine_drops_what_nobody_looks_at(
    service: Keeper, stub: Any, engine: EngineName
) -> None:
    service.route(key=RoutingKey(header="x-user"))
    await call(stub)
    assert (b"x-other" in service.asked[0].headers) is (engine == "grpcio")
    service.route(key=RoutingKey(header="x-other"))
    await call(stub)
    assert service.asked[1].headers.get(b"x-other") == b"1"


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v2/models/m/infer?a=b"])
async def test_http_gives_all_headers_on_both_ways(service: Keeper, path: str) -> None:
    fake: Any = service
    app = HttpApp(fake, lambda: fake, Limits())
    with bind("127.0.0.1", 0, "HTTP") as listening:
        server = HttpServer(app, listening, backlog=16)
        port = port_of(listening)
        server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-User: 42\r\nContent-Length: {len(BODY)}"
        writer.write(head.encode() + b"\r\n\r\n" + BODY)
        async with asyncio.timeout(LIMIT_S):
            assert (await reader.readline()).split()[1] == b"404"
        writer.close()
        await server.stop(1.0)
    (asked,) = service.asked
    assert (asked.headers[b"x-user"], asked.client) == (b"42", "127.0.0.1")
