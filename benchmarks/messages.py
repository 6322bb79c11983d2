"""Requests and answers of the benchmarks as bytes: V2 JSON, V2 binary and gRPC ModelInfer.

The protobuf messages are encoded by hand, so that no generated code of any arm is used to judge it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"

# The first image of scikit-learn's digits: a zero. 8 x 8 pixels, 0 to 16.
PIXELS: tuple[float, ...] = tuple(
    float(value)
    for value in (
        *(0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0),
        *(0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0),
        *(0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0),
        *(0, 2, 14, 5, 10, 12, 0, 0, 0, 0, 6, 13, 10, 0, 0, 0),
    )
)
JSON_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class HttpRequest:
    """One POST: path, body bytes and headers besides Host and Content-Length."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: dict(JSON_HEADERS))


@dataclass(frozen=True)
class Answer:
    """What a server said about one image: the label and ten probabilities."""

    label: int
    probabilities: tuple[float, ...]


def digits_v2_json() -> HttpRequest:
    """Return the V2 JSON inference request of one image."""
    tensor = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": list(PIXELS)}
    return HttpRequest("/v2/models/digits/infer", json.dumps({"inputs": [tensor]}).encode())


def read_v2_json(body: bytes) -> Answer:
    """Return the answer in a V2 JSON response; KeyError or ValueError when it is not one."""
    outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
    return Answer(int(outputs["label"][0]), tuple(outputs["probabilities"]))


def v2_binary(path: str, tensors: Mapping[str, tuple[str, Sequence[int], bytes]]) -> HttpRequest:
    """Return a V2 request with the binary extension.

    `tensors` maps a name to (datatype, shape, little-endian bytes).
    """
    inputs = [
        {
            "name": name,
            "shape": list(shape),
            "datatype": datatype,
            "parameters": {"binary_data_size": len(raw)},
        }
        for name, (datatype, shape, raw) in tensors.items()
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(header)),
    }
    return HttpRequest(path, header + b"".join(raw for _, _, raw in tensors.values()), headers)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _bytes_field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> bytes:
    packed = b"".join(_varint(size) for size in shape)
    return (
        _bytes_field(1, name.encode())
        + _bytes_field(2, datatype.encode())
        + _bytes_field(3, packed)
    )


def digits_infer_request() -> bytes:
    """Return the serialized ModelInferRequest of one image, with raw_input_contents."""
    return (
        _bytes_field(1, b"digits")
        + _bytes_field(5, _tensor("pixels", "FP32", [1, 64]))
        + _bytes_field(7, struct.pack("<64f", *PIXELS))
    )


def digits_infer_response(answer: Answer) -> bytes:
    """Return a serialized ModelInferResponse that says `answer` (for the echo)."""
    return (
        _bytes_field(1, b"digits")
        + _bytes_field(2, b"1")
        + _bytes_field(5, _tensor("label", "INT64", [1]))
        + _bytes_field(5, _tensor("probabilities", "FP32", [1, 10]))
        + _bytes_field(6, struct.pack("<q", answer.label))
        + _bytes_field(6, struct.pack("<10f", *answer.probabilities))
    )


def grpc_frame(message: bytes) -> bytes:
    """Return `message` as gRPC sends it: a compression flag, the length, the bytes."""
    return struct.pack(">BI", 0, len(message)) + message


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 2:
            size, at = _read_varint(message, at)
            found.append((number, message[at : at + size]))
            at += size
        elif wire_type == 0:
            _, at = _read_varint(message, at)
        else:
            at += 8 if wire_type == 1 else 4
    return found


def read_infer_response(message: bytes) -> Answer:
    """Return the answer in a serialized ModelInferResponse that uses raw_output_contents.

    Raises ValueError when an expected output is missing.
    """
    fields = _fields(message)
    names = [
        next(value.decode() for inner, value in _fields(payload) if inner == 1)
        for number, payload in fields
        if number == 5
    ]
    raw = dict(zip(names, [payload for number, payload in fields if number == 6], strict=False))
    if set(raw) != {"label", "probabilities"}:
        raise ValueError(f"outputs {sorted(raw)} in the response, expected label, probabilities")
    return Answer(
        struct.unpack("<q", raw["label"][:8])[0], struct.unpack("<10f", raw["probabilities"][:40])
    )
