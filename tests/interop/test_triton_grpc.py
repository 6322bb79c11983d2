"""tritonclient's gRPC client, and the standard gRPC services, against both engines."""

from __future__ import annotations

import json
import queue
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.interop.live import AT_ONCE, Live

pytestmark = pytest.mark.interop

A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), dtype=np.int32)


@pytest.fixture(params=["server", "grpcio_server"])
def door(request: pytest.FixtureRequest) -> Live:
    """A server on each engine."""
    live: Live = request.getfixturevalue(request.param)
    return live


@pytest.fixture
def client(door: Live) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(door.grpc_address) as client:
        yield client


def infer_input(name: str, array: np.ndarray) -> triton.InferInput:
    value = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    value.set_data_from_numpy(array)
    return value


def simple_inputs() -> list[triton.InferInput]:
    return [infer_input("INPUT0", A), infer_input("INPUT1", B)]


def test_sum_and_difference(client: triton.InferenceServerClient) -> None:
    result = client.infer("simple", simple_inputs(), request_id="r-1")
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("r-1", "simple", "1")


def test_a_subset_of_the_outputs(client: triton.InferenceServerClient) -> None:
    outputs = [triton.InferRequestedOutput("OUTPUT1")]
    result = client.infer("simple", simple_inputs(), outputs=outputs)
    assert [o.name for o in result.get_response().outputs] == ["OUTPUT1"]


@pytest.mark.parametrize(
    ("model", "array"),
    [
        ("identity_fp16", np.array([[1.5, -0.25, np.inf]], dtype=np.float16)),
        ("identity_fp32", np.array([[np.nan, -np.inf, 0.1]], dtype=np.float32)),
        ("identity_int64", np.array([[2**53 + 1, -(2**63)]], dtype=np.int64)),
        ("identity_bool", np.array([[True, False]])),
        ("identity_fp32", np.empty((1, 0), dtype=np.float32)),
        ("identity_fp32", np.arange(3 * 2**20, dtype=np.float32).reshape(1, -1)),
    ],
    ids=["half", "nan", "int64", "bool", "empty", "12 MiB"],
)
def test_identity(client: triton.InferenceServerClient, model: str, array: np.ndarray) -> None:
    result = client.infer(model, [infer_input("INPUT0", array)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def test_any_bytes_go_through(client: triton.InferenceServerClient) -> None:
    items = [b"", b"\x00", b"a\x00b", bytes(range(256)), b"\xff"]
    array = np.array(items, dtype=np.object_)
    result = client.infer("echo_bytes", [infer_input("data", array)])
    assert result.as_numpy("output").tolist() == items


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(client: triton.InferenceServerClient, algorithm: str) -> None:
    result = client.infer("simple", simple_inputs(), compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)


def test_parameters_and_classification(client: triton.InferenceServerClient) -> None:
    parameters = {"text": "a", "number": 3, "flag": True}
    texts = [infer_input("text", np.array([b"x"], dtype=np.object_))]
    result = client.infer("params", texts, parameters=parameters)
    assert json.loads(result.as_numpy("output")[0]) == parameters
    outputs = [triton.InferRequestedOutput("OUTPUT0", class_count=1)]
    scores = [infer_input("INPUT0", np.array([[0.1, 0.5, 0.4]], dtype=np.float32))]
    result = client.infer("classes", scores, outputs=outputs)
    assert result.as_numpy("OUTPUT0").tolist() == [[b"0.500000:1:dog"]]


def test_async_infer_calls_back(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    for _ in range(8):
        client.async_infer(
            "simple", simple_inputs(), callback=lambda result, error: answers.put((result, error))
        )
    for _ in range(8):
        result, error = answers.get(timeout=10)
        assert error is None
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)


def test_cancelling_a_call(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    call = client.async_infer(
        "slow",
        [infer_input("seconds", np.array([0.5]))],
        callback=lambda result, error: answers.put(error),
    )
    call.cancel()
    error = answers.get(timeout=10)
    assert "CANCELLED" in error.status()


def test_the_clients_timeout(client: triton.InferenceServerClient) -> None:
    value = [infer_input("seconds", np.array([0.5]))]
    with pytest.raises(InferenceServerException) as caught:
        client.infer("slow", value, client_timeout=0.1)
    assert "DEADLINE_EXCEEDED" in caught.value.status()


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata().name == "penstock"
    metadata = client.get_model_metadata("versions")
    assert list(metadata.versions) == ["1", "2"]
    config = client.get_model_config("simple").config
    assert (config.max_batch_size, list(config.input[0].dims)) == (8, [16])
    index = client.get_model_repository_index().models
    assert ("simple", "1", "READY") in [(m.name, m.version, m.state) for m in index]


def test_statistics_count(client: triton.InferenceServerClient) -> None:
    def rows() -> int:
        return int(client.get_inference_statistics("nobatch").model_stats[0].inference_count)

    before = rows()
    client.infer("nobatch", [infer_input("INPUT0", np.zeros(4, dtype=np.float32))])
    assert rows() == before + 1


def test_log_and_trace_settings(client: triton.InferenceServerClient) -> None:
    try:
        assert (
            client.update_log_settings({"log_verbose_level": 1})
            .settings["log_verbose_level"]
            .uint32_param
        )
        changed = client.update_trace_settings("simple", {"trace_rate": "7"}, as_json=True)
        assert changed["settings"]["trace_rate"]["value"] == ["7"]
    finally:
        client.update_log_settings({"log_verbose_level": 0})
        client.update_trace_settings("simple", {"trace_rate": None})
    assert client.get_trace_settings("simple").settings["trace_rate"].value == ["1000"]


@pytest.mark.parametrize(
    ("model", "version", "status", "text"),
    [
        ("nobody", "", "NOT_FOUND", "Request for unknown model: 'nobody' is not found"),
        ("simple", "9", "NOT_FOUND", "Request for unknown model: 'simple' version 9 is not"),
    ],
)
def test_unknown_models(
    client: triton.InferenceServerClient, model: str, version: str, status: str, text: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, simple_inputs(), model_version=version)
    assert caught.value.message().startswith(text)
    assert status in caught.value.status()


def test_a_wrong_shape(client: triton.InferenceServerClient) -> None:
    value = infer_input("INPUT0", np.zeros((1, 15), dtype=np.int32))
    with pytest.raises(InferenceServerException, match="unexpected shape for input 'INPUT0'") as e:
        client.infer("simple", [value, infer_input("INPUT1", B)])
    assert "INVALID_ARGUMENT" in e.value.status()


def test_load_is_refused_while_the_repository_is_followed(
    client: triton.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="not allowed if polling is enabled"):
        client.load_model("simple")


async def test_the_asyncio_client(door: Live) -> None:
    async with triton_aio.InferenceServerClient(door.grpc_address) as client:
        assert await client.is_server_ready()
        result = await client.infer("simple", simple_inputs())
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
        with pytest.raises(InferenceServerException, match="Request for unknown model"):
            await client.infer("nobody", simple_inputs())


def test_standard_health(door: Live) -> None:
    with grpc.insecure_channel(door.grpc_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_tells_the_methods(door: Live) -> None:
    with grpc.insecure_channel(door.grpc_address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
        pool = DescriptorPool(database)
        service = pool.FindServiceByName("inference.GRPCInferenceService")
        assert "ModelInfer" in [method.name for method in service.methods]
        message = pool.FindMessageTypeByName("inference.ModelInferRequest")
        assert message.fields_by_name["raw_input_contents"].number == 7


def test_a_watch_of_health_ends_with_the_server(repository: Path, tmp_path: Path) -> None:
    for engine in ("nghttp2", "grpcio"):
        arguments = (*AT_ONCE, "--set", f"grpc.engine={engine}", "--set", "drain_timeout_s=2")
        with (
            Live([repository / "simple"], *arguments, folder=tmp_path) as live,
            grpc.insecure_channel(live.grpc_address) as channel,
        ):
            stub = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=30)
            unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=30)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            live.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(grpc.RpcError) as caught:
                next(watch)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert live.wait(10) == 0


def test_a_method_that_is_not_served(door: Live) -> None:
    with grpc.insecure_channel(door.grpc_address) as channel:
        for path in ("/inference.GRPCInferenceService/ModelStreamInfer", "/a/b"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path)(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert caught.value.details() == "Method not found!"


def test_bytes_that_are_no_message(door: Live) -> None:
    with grpc.insecure_channel(door.grpc_address) as channel:
        for method in ("ModelInfer", "ModelReady"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(
                    b"\xff", timeout=10
                )
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert f"no valid {method}Request message" in caught.value.details()


def test_large_tensors_both_ways(client: triton.InferenceServerClient) -> None:
    """4 MiB of texts and back."""
    texts = np.array([[b"x" * 4096]] * 1024, dtype=np.object_)
    result = client.infer("identity_bytes", [infer_input("INPUT0", texts)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), texts)
