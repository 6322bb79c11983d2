"""Tensors as the Open Inference protocol (V2) has them: JSON, the binary extension, gRPC.

Of the datatypes, those that the workloads use.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.messages import GRPC_PATH, GrpcCall, HttpRequest
from benchmarks.protobuf import bytes_field, fields, varint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.workloads.workload import Tensors

DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
HEADER_LENGTH = "inference-header-content-length"
_REQUEST_INPUTS, _REQUEST_RAW = 5, 7
_RESPONSE_OUTPUTS, _RESPONSE_RAW = 5, 6


def infer_path(model: str) -> str:
    """Return the path of an inference request."""
    return f"/v2/models/{model}/infer"


def json_tensors(tensors: Tensors) -> list[dict[str, Any]]:
    """Return `tensors` as V2 JSON lists them, flat data in C order."""
    return [
        {
            "name": name,
            "shape": list(value.shape),
            "datatype": DATATYPES[value.dtype],
            "data": value.ravel().tolist(),
        }
        for name, value in tensors.items()
    ]


def json_request(path: str, tensors: Tensors) -> HttpRequest:
    """Return the V2 JSON request."""
    return HttpRequest(path, json.dumps({"inputs": json_tensors(tensors)}).encode())


def binary_request(path: str, tensors: Tensors) -> HttpRequest:
    """Return the V2 request with the binary extension, in both directions."""
    inputs = _binary_tensors(tensors)
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(header)),
    }
    return HttpRequest(path, header + _raw(tensors), headers)


def read_json(body: bytes) -> Tensors:
    """Return the outputs of a V2 JSON response; KeyError or ValueError when it is not one."""
    return {
        output["name"]: np.asarray(output["data"], DTYPES[output["datatype"]]).reshape(
            output["shape"]
        )
        for output in json.loads(body)["outputs"]
    }


def json_answer(model: str, tensors: Tensors) -> bytes:
    """Return the V2 JSON response that holds `tensors`."""
    return json.dumps({"model_name": model, "outputs": json_tensors(tensors)}).encode()


def binary_answer(model: str, tensors: Tensors) -> tuple[bytes, int]:
    """Return the V2 binary response that holds `tensors`, and the length of its header."""
    outputs = _binary_tensors(tensors)
    header = json.dumps({"model_name": model, "outputs": outputs}).encode()
    return header + _raw(tensors), len(header)


def _binary_tensors(tensors: Tensors) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": list(value.shape),
            "datatype": DATATYPES[value.dtype],
            "parameters": {"binary_data_size": value.nbytes},
        }
        for name, value in tensors.items()
    ]


def _raw(tensors: Tensors) -> bytes:
    return b"".join(value.tobytes() for value in tensors.values())


def read_answer(body: bytes, headers: Mapping[str, str]) -> Tensors:
    """Return the outputs of a V2 response, JSON or binary by its (lower-case) `headers`.

    Raises KeyError or ValueError when it is not one.
    """
    if HEADER_LENGTH not in headers:
        return read_json(body)
    at = int(headers[HEADER_LENGTH])
    found = {}
    for output in json.loads(body[:at])["outputs"]:
        size, dtype = output["parameters"]["binary_data_size"], DTYPES[output["datatype"]]
        found[output["name"]] = np.frombuffer(body[at : at + size], dtype).reshape(output["shape"])
        at += size
    return found


def _tensor(name: str, value: np.ndarray) -> bytes:
    shape = b"".join(varint(size) for size in value.shape)
    datatype = DATATYPES[value.dtype].encode()
    return bytes_field(1, name.encode()) + bytes_field(2, datatype) + bytes_field(3, shape)


def grpc_call(model: str, tensors: Tensors) -> GrpcCall:
    """Return the ModelInfer call of `tensors`, as raw contents."""
    message = bytes_field(1, model.encode())
    for name, value in tensors.items():
        message += bytes_field(_REQUEST_INPUTS, _tensor(name, value))
    for value in tensors.values():
        message += bytes_field(_REQUEST_RAW, value.tobytes())
    return GrpcCall(GRPC_PATH, message)


def grpc_answer(model: str, tensors: Tensors) -> bytes:
    """Return the serialized ModelInferResponse that holds `tensors`, as raw contents."""
    message = bytes_field(1, model.encode()) + bytes_field(2, b"1")
    for name, value in tensors.items():
        message += bytes_field(_RESPONSE_OUTPUTS, _tensor(name, value))
    for value in tensors.values():
        message += bytes_field(_RESPONSE_RAW, value.tobytes())
    return message


def read_grpc(message: bytes) -> Tensors:
    """Return the outputs of a serialized ModelInferResponse, each flat, from its raw contents.

    Raises ValueError when there is not one raw content for each output.
    """
    found = fields(message)
    outputs = [dict(fields(payload)) for number, payload in found if number == _RESPONSE_OUTPUTS]
    raw = [payload for number, payload in found if number == _RESPONSE_RAW]
    return {
        output[1].decode(): np.frombuffer(content, DTYPES[output[2].decode()])
        for output, content in zip(outputs, raw, strict=True)
    }
