"""The formats by which the benchmarks judge every arm, beside the protocol's own messages."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import v2
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb

TENSORS = {
    "ids": np.arange(300, dtype=np.int64).reshape(1, 300) - 7,
    "odds": np.array([[0.5, -0.0, np.inf]], np.float32),
}


def _same(found: dict, wanted: dict) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert found[name].ravel().tolist() == value.ravel().tolist()


def test_a_call_is_what_the_protocol_says() -> None:
    call = v2.grpc_call("digits", TENSORS)

    message = pb.ModelInferRequest.FromString(call.message)

    assert call.path == "/inference.GRPCInferenceService/ModelInfer"
    assert message.model_name == "digits"
    assert [(i.name, i.datatype, list(i.shape)) for i in message.inputs] == [
        ("ids", "INT64", [1, 300]),
        ("odds", "FP32", [1, 3]),
    ]
    assert list(message.raw_input_contents) == [value.tobytes() for value in TENSORS.values()]


def test_an_answer_of_the_protocol_is_read() -> None:
    message = pb.ModelInferResponse(model_name="digits", model_version="1", id="7")
    for name, value in TENSORS.items():
        datatype = v2.DATATYPES[value.dtype]
        message.outputs.add(name=name, datatype=datatype, shape=value.shape)
        message.raw_output_contents.append(value.tobytes())

    _same(v2.read_grpc(message.SerializeToString()), TENSORS)


def test_a_constant_answer_is_one_of_the_protocol() -> None:
    constant = v2.grpc_answer("digits", TENSORS)

    assert len(pb.ModelInferResponse.FromString(constant).outputs) == 2
    _same(v2.read_grpc(constant), TENSORS)


def test_an_answer_without_raw_contents_is_refused() -> None:
    message = pb.ModelInferResponse()
    message.outputs.add(name="odds", datatype="FP32", shape=[1]).contents.fp32_contents.append(1.0)

    with pytest.raises(ValueError, match="zip"):
        v2.read_grpc(message.SerializeToString())


def test_binary_there_and_back() -> None:
    body, header_bytes = v2.binary_answer("digits", TENSORS)

    _same(v2.read_answer(body, {v2.HEADER_LENGTH: str(header_bytes)}), TENSORS)


def test_json_there_and_back() -> None:
    finite = {"ids": TENSORS["ids"], "odds": np.array([[0.1, -2.0]], np.float32)}

    _same(v2.read_answer(v2.json_answer("digits", finite), {}), finite)


def test_a_binary_request_says_where_its_bytes_are() -> None:
    request = v2.binary_request(v2.infer_path("digits"), TENSORS)

    length = int(request.headers["Inference-Header-Content-Length"])
    header = json.loads(request.body[:length])
    assert request.path == "/v2/models/digits/infer"
    assert [i["parameters"]["binary_data_size"] for i in header["inputs"]] == [2400, 12]
    assert request.body[length:] == b"".join(value.tobytes() for value in TENSORS.values())
