"""The gRPC door on both engines: what a fault of ours, or of a client, becomes on the wire."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from penstock.core.clock import SystemClock
from penstock.core.errors import ConfigError, LoadFailed, NotFound, PenstockError
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from penstock.dialects.open_inference.trace_settings import TraceBook
from penstock.router.route_table import RouteTable
from penstock.server.grpc_api.api import GrpcApi
from penstock.server.grpc_api.call import GrpcOptions
from penstock.server.grpc_engine import EngineName, load_engine

LIMIT_S = 10


class FaultyService:
    """Everything it is asked raises what it was told to; without that, a model ``m`` serves."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.rejected: list[str] = []
        self.traced: list[str] = []
        self.edge = SimpleNamespace(reject=lambda protocol, code: self.rejected.append(code))
        self.routes = RouteTable()
        self.clock = SystemClock()
        self.recorders = [self]
        self.outcomes: list[str] = []

    def fail(self, *args: Any, **kwargs: Any) -> Any:
        if self.error is not None:
            raise self.error

    server = config = index = logs = is_ready = model_ready = fail

    async def statistics(self, *args: Any) -> Any:
        self.fail()

    def model(self, name: str, choice: VersionChoice) -> None:
        self.fail()
        if name != "m":
            raise NotFound(f"unknown model: {name}")

    async def warm(self, name: str, choice: VersionChoice) -> None:
        """Nothing is loaded on demand here."""

    async def infer(self, request: InferRequest) -> None:
        self.fail()

    def record(self, request: InferRequest, outcome: str) -> None:
        self.outcomes.append(outcome)

    def reject(self, protocol: str, request: InferRequest | None, error: PenstockError) -> None:
        self.rejected.append(error.code)

    async def load(self, *args: Any, who: str) -> None:
        self.fail()

    async def unload(self, name: str, who: str) -> None:
        self.fail()

    async def change_logs(self, changes: Any, who: str) -> None:
        self.fail()

    def traces(self, model: str) -> Any:
        self.fail()
        return TraceBook().settings(model)

    async def change_traces(self, changes: Any, model: str, who: str) -> None:
        self.traced.append(model)


@pytest.fixture
def service() -> FaultyService:
    return FaultyService()


@pytest.fixture(params=["nghttp2", "grpcio"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name


@pytest.fixture
async def stub(service: FaultyService, engine: EngineName) -> AsyncIterator[Any]:
    fake: Any = service
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    server = load_engine(engine)(GrpcApi(fake, fake, fake), GrpcOptions())
    await server.start(address)
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    await server.stop(0)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


CONTROL = {
    "ServerReady": pb.ServerReadyRequest(),
    "ModelReady": pb.ModelReadyRequest(name="m"),
    "ServerMetadata": pb.ServerMetadataRequest(),
    "ModelMetadata": pb.ModelMetadataRequest(name="m"),
    "ModelConfig": pb.ModelConfigRequest(name="m"),
    "ModelStatistics": pb.ModelStatisticsRequest(name="m"),
    "RepositoryIndex": pb.RepositoryIndexRequest(),
    "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name="m"),
    "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name="m"),
    "TraceSetting": pb.TraceSettingRequest(),
    "LogSettings": pb.LogSettingsRequest(),
}


@pytest.mark.parametrize("rpc", list(CONTROL))
async def test_a_bug_of_ours_is_internal_and_tells_nothing(
    service: FaultyService,
    stub: Any,
    rpc: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    service.error = KeyError("a secret of ours")
    code, details = await refusal(getattr(stub, rpc)(CONTROL[rpc], timeout=LIMIT_S))
    assert code is grpc.StatusCode.INTERNAL
    assert details.startswith("internal error; the server's log has more under id ")
    assert "a secret of ours" in caplog.text


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (NotFound("no"), grpc.StatusCode.NOT_FOUND, "not_found"),
        (KeyError("a secret of ours"), grpc.StatusCode.INTERNAL, "internal"),
    ],
)
async def test_an_inference_that_fails(
    service: FaultyService, stub: Any, error: Exception, code: grpc.StatusCode, outcome: str
) -> None:
    service.error = error
    message = pb.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="x", datatype="FP32", shape=[1])
    tensor.contents.fp32_contents.append(1)
    found, details = await refusal(stub.ModelInfer(message, timeout=LIMIT_S))
    assert found is code
    assert "secret" not in details
    assert service.outcomes == [outcome]
    assert service.rejected == [outcome] * isinstance(error, NotFound)


@pytest.mark.parametrize("rpc", list(CONTROL))
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("no"), grpc.StatusCode.NOT_FOUND),
        (LoadFailed("no"), grpc.StatusCode.INTERNAL),
        (ConfigError("no"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_refusal_has_its_own_status(
    service: FaultyService, stub: Any, rpc: str, error: PenstockError, code: grpc.StatusCode
) -> None:
    service.error = error
    assert await refusal(getattr(stub, rpc)(CONTROL[rpc], timeout=LIMIT_S)) == (code, "no")
    assert service.rejected == [error.code]


@pytest.mark.parametrize("letter", ["m", "\u00e9", "\U0001f600"])
async def test_a_long_text_does_not_cost_the_status(
    service: FaultyService, stub: Any, letter: str
) -> None:
    """Clients drop a status whose details are too long for one header."""
    request = pb.ModelMetadataRequest(name=letter * 20_000)
    code, details = await refusal(stub.ModelMetadata(request, timeout=LIMIT_S))
    assert code is grpc.StatusCode.NOT_FOUND
    assert details.startswith(f"unknown model: {letter * 200}")
    assert details.endswith(f"{letter}...")
    assert len(details.encode()) <= 1027


async def test_trace_settings_are_kept_for_models_that_serve_alone(
    service: FaultyService, stub: Any
) -> None:
    request = pb.TraceSettingRequest(model_name="ghost")
    request.settings["trace_rate"].value.append("5")
    code, _ = await refusal(stub.TraceSetting(request, timeout=LIMIT_S))
    assert code is grpc.StatusCode.NOT_FOUND
    assert service.traced == []
    for name in ("", "m"):
        request.model_name = name
        await stub.TraceSetting(request, timeout=LIMIT_S)
    assert service.traced == ["", "m"]


async def test_an_ipv6_address_is_in_brackets(service: FaultyService, engine: EngineName) -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
            address = f"[::1]:{probe.getsockname()[1]}"
    except OSError:
        pytest.skip("this machine has no IPv6")
    fake: Any = service
    server = load_engine(engine)(GrpcApi(fake, fake, fake), GrpcOptions())
    await server.start(address)
    async with grpc.aio.insecure_channel(f"ipv6:{address}") as channel:
        stub: Any = pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        assert (await stub.ServerLive(pb.ServerLiveRequest(), timeout=LIMIT_S)).live
    await server.stop(0)


async def test_a_port_is_shared_by_those_who_agree(
    service: FaultyService, engine: EngineName
) -> None:
    fake: Any = service
    made = [
        load_engine(engine)(GrpcApi(fake, fake, fake), GrpcOptions(shares_port=shares))
        for shares in (True, True, False)
    ]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    first, second, third = made
    await first.start(address)
    await second.start(address)
    with pytest.raises(ConfigError, match="cannot listen on"):
        await third.start(address)
    for server in made:
        await server.stop(0)
