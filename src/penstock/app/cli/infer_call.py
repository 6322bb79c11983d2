"""One inference call over REST: tensors out in binary, tensors back in binary or JSON."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock.app.cli.input_file import InputData, V2Request
from penstock.app.cli.input_tensors import tensors_of
from penstock.app.cli.server_client import Reply, ServerClient, model_path
from penstock.core.dtype import DType
from penstock.core.errors import Internal, PenstockError
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, bytes_array, object_array

_HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """What a model answered.

    Attributes:
        head: the answer's JSON, as the server sent it.
        outputs: the tensors, in order.
        took_s: from the request's first byte to the answer's last, in seconds.
    """

    head: dict[str, Any]
    outputs: tuple[Tensor, ...]
    took_s: float

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.head.get("model_name", ""))

    @property
    def version(self) -> str:
        """The version that answered."""
        return str(self.head.get("model_version", ""))


def infer(
    client: ServerClient, model: str, version: str, data: InputData, tensor: str = ""
) -> InferAnswer:
    """Ask a server for one prediction.

    Args:
        client: the way to it.
        model: the model's name.
        version: a number or label; "": the newest.
        data: what to predict; anything but a V2 request is matched with the model's inputs.
        tensor: see ``tensors_of``.

    Raises:
        PenstockError: the data does not fit the model, or the server says no.
    """
    path = model_path(model, version)
    if isinstance(data, V2Request):
        return _ask(client, path, data.body, {"Content-Type": "application/json"})
    specs = _input_specs(client, path)
    head, raw = _encode(tensors_of(data, specs, tensor))
    headers = {
        "Content-Type": "application/octet-stream",
        _HEADER_LENGTH: str(len(head)),
    }
    return _ask(client, path, head + raw, headers)


def answer_json(answer: InferAnswer) -> dict[str, Any]:
    """The whole answer in the form of a V2 JSON reply.

    Bytes that are no UTF-8 are base64, which the output's parameter ``base64`` then says.
    """
    outputs = []
    told = {item["name"]: item for item in answer.head.get("outputs", ())}
    for tensor in answer.outputs:
        item = {key: told[tensor.name][key] for key in ("name", "datatype", "shape")}
        parameters = dict(told[tensor.name].get("parameters") or {})
        parameters.pop("binary_data_size", None)
        data, is_base64 = _json_data(tensor)
        if is_base64:
            parameters["base64"] = True
        if parameters:
            item["parameters"] = parameters
        outputs.append({**item, "data": data})
    return {**answer.head, "outputs": outputs}


def shown_array(tensor: Tensor) -> Array:
    """A tensor's elements as numbers: BF16's bits become FP32."""
    if tensor.dtype is DType.BF16:
        return (tensor.array.astype("<u4") << 16).view("<f4")
    return tensor.array


def _json_data(tensor: Tensor) -> tuple[list[Any], bool]:
    flat = shown_array(tensor).reshape(-1).tolist()
    if tensor.dtype is not DType.BYTES:
        return flat, False
    try:
        return [item.decode() for item in flat], False
    except UnicodeDecodeError:
        return [base64.b64encode(item).decode() for item in flat], True


def _input_specs(client: ServerClient, path: str) -> list[TensorSpec]:
    """The model's inputs, from its metadata; which are optional, from its configuration."""
    metadata = client.get(path)
    try:
        told = client.get(f"{path}/config").get("input") or []
    except PenstockError:
        told = []  # an extension: not every V2 server has it
    optional = {item["name"] for item in told if item.get("optional")}
    return [
        TensorSpec(
            item["name"],
            DType(item["datatype"]),
            tuple(int(dim) for dim in item["shape"]),
            optional=item["name"] in optional,
        )
        for item in metadata["inputs"]
    ]


def _encode(tensors: list[Tensor]) -> tuple[bytes, bytes]:
    """The JSON part and the binary part of a request."""
    inputs, parts = [], []
    for tensor in tensors:
        raw = bytes(tensor.to_buffer())
        parts.append(raw)
        inputs.append(
            {
                "name": tensor.name,
                "datatype": str(tensor.dtype),
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": len(raw)},
            }
        )
    head = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    return json.dumps(head).encode(), b"".join(parts)


def _ask(client: ServerClient, path: str, body: bytes, headers: dict[str, str]) -> InferAnswer:
    started_s = time.perf_counter()
    reply = client.request("POST", f"{path}/infer", body, headers)
    took_s = time.perf_counter() - started_s
    return InferAnswer(*_decode(reply), took_s)


def _decode(reply: Reply) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    """A reply with its outputs in JSON, in binary, or both.

    Raises:
        Internal: the reply is not one of the protocol's.
    """
    size = int(reply.headers.get(_HEADER_LENGTH, len(reply.body)))
    raw = memoryview(reply.body)[size:]
    try:
        head = json.loads(reply.body[:size])
        outputs = []
        for item in head["outputs"]:
            num_bytes = (item.get("parameters") or {}).get("binary_data_size")
            outputs.append(_output(item, None if num_bytes is None else raw[:num_bytes]))
            raw = raw[num_bytes or 0 :]
    except (ValueError, KeyError, TypeError, AttributeError, PenstockError) as err:
        raise Internal(f"the server's answer is no V2 reply: {err}") from err
    return head, tuple(outputs)


def _output(item: dict[str, Any], raw: memoryview | None) -> Tensor:
    name, dtype, shape = item["name"], DType(item["datatype"]), tuple(item["shape"])
    if raw is not None:
        return Tensor.from_buffer(name, dtype, shape, raw)
    if dtype is DType.BYTES:
        texts = object_array([str(value) for value in item["data"]])
        return Tensor(name, dtype, bytes_array(texts).reshape(shape))
    return Tensor(name, dtype, np.array(item["data"], dtype.numpy).reshape(shape))
