"""A request to a server as bytes, and what is asked of the digits model. `v2` has the formats."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
class GrpcCall:
    """One unary call: the method's path and the serialized request, without gRPC's prefix."""

    path: str
    message: bytes


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
