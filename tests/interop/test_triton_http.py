"""tritonclient's HTTP client against a live server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.interop.live import Live

pytestmark = pytest.mark.interop

A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), dtype=np.int32)
ODD_BYTES = [b"", b"\x00", b"a\x00b", bytes(range(256)), b"\xff\xfe", "héllo".encode()]


@pytest.fixture
def client(server: Live) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


def infer_input(name: str, array: np.ndarray, binary: bool = True) -> triton.InferInput:
    value = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    value.set_data_from_numpy(array, binary_data=binary)
    return value


def simple_inputs(binary: bool = True) -> list[triton.InferInput]:
    return [infer_input("INPUT0", A, binary), infer_input("INPUT1", B, binary)]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_sum_and_difference_in_every_mixture_of_json_and_binary(
    client: triton.InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    outputs = [triton.InferRequestedOutput(f"OUTPUT{i}", binary_data=binary_out) for i in (0, 1)]
    result = client.infer("simple", simple_inputs(binary_in), outputs=outputs, request_id="r-1")
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("r-1", "1")


def test_one_input_as_json_and_one_in_binary(client: triton.InferenceServerClient) -> None:
    inputs = [infer_input("INPUT0", A, False), infer_input("INPUT1", B, True)]
    outputs = [
        triton.InferRequestedOutput("OUTPUT1", binary_data=True),
        triton.InferRequestedOutput("OUTPUT0", binary_data=False),
    ]
    result = client.infer("simple", inputs, outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


def test_without_outputs_all_come_in_binary_and_no_id(
    client: triton.InferenceServerClient,
) -> None:
    result = client.infer("simple", simple_inputs())
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)
    assert "id" not in result.get_response()


def test_a_subset_of_the_outputs(client: triton.InferenceServerClient) -> None:
    result = client.infer(
        "simple", simple_inputs(), outputs=[triton.InferRequestedOutput("OUTPUT1")]
    )
    assert [o["name"] for o in result.get_response()["outputs"]] == ["OUTPUT1"]
    assert result.as_numpy("OUTPUT0") is None


@pytest.mark.parametrize("request_way", ["gzip", "deflate", None])
@pytest.mark.parametrize("response_way", ["gzip", "deflate", None])
def test_compression_both_ways(
    client: triton.InferenceServerClient, request_way: str | None, response_way: str | None
) -> None:
    array = np.zeros((4, 4096), dtype=np.float32)
    result = client.infer(
        "identity_fp32",
        [infer_input("INPUT0", array)],
        request_compression_algorithm=request_way,
        response_compression_algorithm=response_way,
    )
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def test_any_bytes_go_through(client: triton.InferenceServerClient) -> None:
    array = np.array(ODD_BYTES, dtype=np.object_)
    result = client.infer("echo_bytes", [infer_input("data", array)])
    assert result.as_numpy("output").tolist() == ODD_BYTES


@pytest.mark.parametrize("binary", [True, False])
def test_texts_through_an_engine(client: triton.InferenceServerClient, binary: bool) -> None:
    items = ["", "a\x00b", "héllo ✓"]
    array = np.array([[item.encode() for item in items]], dtype=np.object_)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
    result = client.infer("identity_bytes", [infer_input("INPUT0", array, binary)], outputs=outputs)
    answer = result.as_numpy("OUTPUT0").reshape(-1).tolist()
    assert [a.decode() if isinstance(a, bytes) else a for a in answer] == items


def test_an_engine_that_takes_text_refuses_other_bytes(
    client: triton.InferenceServerClient,
) -> None:
    array = np.array([[b"\xff"]], dtype=np.object_)
    with pytest.raises(
        InferenceServerException, match="'INPUT0': expected UTF-8 text, got other bytes"
    ):
        client.infer("identity_bytes", [infer_input("INPUT0", array)])


def test_bytes_that_are_no_text_cannot_come_as_json(client: triton.InferenceServerClient) -> None:
    array = np.array([b"\xff"], dtype=np.object_)
    outputs = [triton.InferRequestedOutput("output", binary_data=False)]
    with pytest.raises(InferenceServerException, match="binary"):
        client.infer("echo_bytes", [infer_input("data", array)], outputs=outputs)


def test_half_floats(client: triton.InferenceServerClient) -> None:
    array = np.array([[1.5, -0.25, 65504.0, np.inf]], dtype=np.float16)
    result = client.infer("identity_fp16", [infer_input("INPUT0", array)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=False)]
    with pytest.raises(InferenceServerException, match="sending FP16 data via JSON is not supp"):
        client.infer("identity_fp16", [infer_input("INPUT0", array)], outputs=outputs)


@pytest.mark.parametrize("binary", [True, False])
def test_integers_beyond_the_doubles(client: triton.InferenceServerClient, binary: bool) -> None:
    array = np.array([[2**53 + 1, -(2**63), 2**63 - 1]], dtype=np.int64)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
    result = client.infer("identity_int64", [infer_input("INPUT0", array, binary)], outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def test_nan_and_infinity_as_json(client: triton.InferenceServerClient) -> None:
    array = np.array([[np.nan, np.inf, -np.inf, 1.0]], dtype=np.float32)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=True)]
    result = client.infer("identity_fp32", [infer_input("INPUT0", array, False)], outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def test_a_tensor_of_no_elements(client: triton.InferenceServerClient) -> None:
    array = np.empty((1, 0), dtype=np.float32)
    result = client.infer("identity_fp32", [infer_input("INPUT0", array)])
    assert result.as_numpy("OUTPUT0").shape == (1, 0)


def test_70_mib(client: triton.InferenceServerClient) -> None:
    array = np.arange(70 * 2**18, dtype=np.float32).reshape(1, -1)
    result = client.infer("identity_fp32", [infer_input("INPUT0", array)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def test_a_model_without_a_batch(client: triton.InferenceServerClient) -> None:
    array = np.array([1, 2, 3, 4], dtype=np.float32)
    result = client.infer("nobatch", [infer_input("INPUT0", array)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), array)


def test_parameters_reach_the_model(client: triton.InferenceServerClient) -> None:
    parameters = {"text": "a", "number": 3, "flag": True, "share": 0.5}
    array = np.array([b"x"], dtype=np.object_)
    result = client.infer(
        "params", [infer_input("text", array)], parameters=parameters, priority=1, timeout=10**7
    )
    assert json.loads(result.as_numpy("output")[0]) == parameters


def test_classification_with_labels(client: triton.InferenceServerClient) -> None:
    array = np.array([[0.1, 0.5, 0.4], [3, 2, 1]], dtype=np.float32)
    outputs = [triton.InferRequestedOutput("OUTPUT0", class_count=2)]
    result = client.infer("classes", [infer_input("INPUT0", array)], outputs=outputs)
    assert result.as_numpy("OUTPUT0").tolist() == [
        [b"0.500000:1:dog", b"0.400000:2:eel"],
        [b"3.000000:0:cat", b"2.000000:1:dog"],
    ]


def test_many_at_once(server: Live) -> None:
    with triton.InferenceServerClient(server.address, concurrency=8) as client:
        pending = [client.async_infer("simple", simple_inputs()) for _ in range(32)]
        for request in pending:
            np.testing.assert_array_equal(request.get_result().as_numpy("OUTPUT0"), A + B)


def test_clients_in_threads_get_their_own_answers(server: Live) -> None:
    def ask(number: int) -> bool:
        array = np.full((1, 16), number, dtype=np.int32)
        with triton.InferenceServerClient(server.address) as client:
            inputs = [infer_input("INPUT0", array), infer_input("INPUT1", array)]
            return bool((client.infer("simple", inputs).as_numpy("OUTPUT0") == 2 * number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(64)))


@pytest.mark.parametrize("version", ["1", "stable"])
def test_a_version_by_number_and_by_label(
    client: triton.InferenceServerClient, version: str
) -> None:
    array = np.array([b"x"], dtype=np.object_)
    result = client.infer("versions", [infer_input("text", array)], model_version=version)
    assert result.as_numpy("output").tolist() == [b"x-v1"]
    assert result.get_response()["model_version"] == "1"
    newest = client.infer("versions", [infer_input("text", array)])
    assert newest.as_numpy("output").tolist() == [b"x-v2"]


def test_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert client.is_model_ready("versions", "2")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("simple", "7")


def test_metadata_and_config(client: triton.InferenceServerClient) -> None:
    server = client.get_server_metadata()
    assert server["name"] == "penstock"
    assert {"binary_tensor_data", "statistics", "trace", "logging"} <= set(server["extensions"])
    model = client.get_model_metadata("simple", query_params={"test_1": 1})
    assert model["platform"] == "onnxruntime_onnx"
    assert model["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]}
    assert client.get_model_metadata("versions")["versions"] == ["1", "2"]
    config = client.get_model_config("simple")
    assert config["max_batch_size"] == 8
    assert config["input"][0]["dims"] == [16]


def test_statistics_count(client: triton.InferenceServerClient) -> None:
    def numbers() -> tuple[int, int]:
        stats = client.get_inference_statistics("identity_bool")["model_stats"][0]
        return stats["inference_count"], stats["inference_stats"]["success"]["count"]

    rows, requests = numbers()
    client.infer("identity_bool", [infer_input("INPUT0", np.ones((3, 2), dtype=bool))])
    assert numbers() == (rows + 3, requests + 1)
    assert len(client.get_inference_statistics()["model_stats"]) > 5


def test_repository_index(client: triton.InferenceServerClient) -> None:
    index = client.get_model_repository_index()
    assert {"name": "simple", "version": "1", "state": "READY"} in index
    assert [e["version"] for e in index if e["name"] == "versions"] == ["1", "2"]


def test_load_is_refused_while_the_repository_is_followed(
    client: triton.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="not allowed if polling is enabled"):
        client.load_model("simple")


def test_log_settings(client: triton.InferenceServerClient) -> None:
    assert client.get_log_settings()["log_info"] is True
    try:
        changed = client.update_log_settings({"log_verbose_level": 1, "log_info": False})
        assert (changed["log_verbose_level"], changed["log_info"]) == (1, False)
    finally:
        client.update_log_settings({"log_verbose_level": 0, "log_info": True})
    with pytest.raises(InferenceServerException, match="log_info"):
        client.update_log_settings({"log_info": "yes"})


def test_trace_settings(client: triton.InferenceServerClient) -> None:
    assert client.get_trace_settings()["trace_level"] == ["OFF"]
    try:
        settings = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "2"}
        changed = client.update_trace_settings("simple", settings)
        assert (changed["trace_rate"], changed["trace_level"]) == ("1", ["TIMESTAMPS"])
        client.infer("simple", simple_inputs())
        assert client.get_trace_settings()["trace_level"] == ["OFF"]
    finally:
        cleared = {"trace_level": None, "trace_rate": None, "trace_count": None}
        client.update_trace_settings("simple", cleared)
    assert client.get_trace_settings("simple")["trace_level"] == ["OFF"]


@pytest.mark.parametrize(
    ("model", "version", "text"),
    [
        ("nobody", "", "Request for unknown model: 'nobody' is not found"),
        ("simple", "99", "Request for unknown model: 'simple' version 99 is not found"),
    ],
)
def test_unknown_models(
    client: triton.InferenceServerClient, model: str, version: str, text: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, simple_inputs(), model_version=version)
    assert caught.value.message().startswith(text)
    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        client.get_model_metadata(model, version)


def test_a_name_that_needs_quoting(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="unknown model: 'no such%modèl' is not"):
        client.infer("no such%modèl", simple_inputs())


def test_a_slow_answer_runs_into_the_clients_timeout(server: Live) -> None:
    value = infer_input("seconds", np.array([0.6]))
    with (
        triton.InferenceServerClient(server.address, network_timeout=0.1) as client,
        pytest.raises((InferenceServerException, TimeoutError)),
    ):
        client.infer("slow", [value])
    assert server.infer("simple").status == 400


async def test_the_asyncio_client(server: Live) -> None:
    async with triton_aio.InferenceServerClient(server.address) as client:
        assert await client.is_server_ready()
        for binary in (True, False):
            outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
            result = await client.infer("simple", simple_inputs(binary), outputs=outputs)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
        zipped = await client.infer(
            "simple",
            simple_inputs(),
            request_compression_algorithm="gzip",
            response_compression_algorithm="deflate",
        )
        np.testing.assert_array_equal(zipped.as_numpy("OUTPUT1"), A - B)
        assert (await client.get_server_metadata())["name"] == "penstock"
        with pytest.raises(InferenceServerException, match="Request for unknown model"):
            await client.infer("nobody", simple_inputs())
