"""Law 9: ``decode(encode(x)) == x`` for each datatype, on each of the protocol's wires.

The reply's outputs are turned into a request's inputs, and read back.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.ids import LATEST
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference import grpc_codec, grpc_wire, json_data
from penstock.dialects.open_inference.limits import DEFAULT_LIMITS
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.reply import OutputOptions, ReplyOptions
from penstock.dialects.open_inference.rest_reply import EncodedReply, encode_infer
from penstock.dialects.open_inference.rest_request import decode_infer
from tests.property.open_inference_tensors import json_tensors, raw_tensors, several

ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


def _decode(reply: EncodedReply) -> InferRequest:
    text = bytes(reply.parts[0])
    document = json.loads(text)
    request: dict[str, Any] = {"inputs": document["outputs"], "id": document.get("id", "")}
    head = json.dumps(request).encode()
    return decode_infer(
        b"".join((head, *reply.parts[1:])),
        model=document["model_name"],
        choice=LATEST,
        header_length=None if reply.header_length is None else len(head),
        signature_of=lambda: ModelSignature((), ()),
        now_ns=0,
    ).request


@given(several(json_tensors), ids)
def test_json(tensors: tuple[Tensor, ...], request_id: str) -> None:
    request = _decode(encode_infer(InferResponse("m", 1, tensors, request_id)))
    assert request.inputs == tensors
    assert request.id == request_id


@given(several(raw_tensors), ids)
def test_binary(tensors: tuple[Tensor, ...], request_id: str) -> None:
    response = InferResponse("m", 1, tensors, request_id)
    request = _decode(encode_infer(response, ReplyOptions(binary=True)))
    assert request.inputs == tensors
    assert request.id == request_id


@given(several(json_tensors), st.sets(st.sampled_from("abcdef")))
def test_json_and_binary_in_one_reply(tensors: tuple[Tensor, ...], binary: set[str]) -> None:
    options = ReplyOptions(outputs={name: OutputOptions(binary=True) for name in binary})
    assert _decode(encode_infer(InferResponse("m", 1, tensors), options)).inputs == tensors


@given(several(raw_tensors), ids)
def test_grpc(tensors: tuple[Tensor, ...], request_id: str) -> None:
    reply = grpc_wire.encode_infer(InferResponse("m", 1, tensors, request_id))
    wire = pb.ModelInferResponse.FromString(b"".join(reply))
    message = pb.ModelInferRequest(model_name="m", id=wire.id)
    for output in wire.outputs:
        message.inputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
    message.raw_input_contents.extend(wire.raw_output_contents)
    request = grpc_codec.decode_infer(message, 0).request
    assert request.inputs == tensors
    assert request.id == request_id


@given(json_tensors("x"))
def test_grpc_typed_contents(tensor: Tensor) -> None:
    message = pb.ModelInferRequest(model_name="m")
    item = message.inputs.add(name="x", datatype=tensor.dtype.value, shape=tensor.shape)
    field = grpc_codec.CONTENTS[tensor.dtype]
    getattr(item.contents, field).extend(tensor.array.reshape(-1).tolist())
    assert grpc_codec.decode_infer(message, 0).request.inputs == (tensor,)


@given(json_tensors("x"), st.booleans())
def test_the_quick_way_and_the_defining_way_agree(tensor: Tensor, nested: bool) -> None:
    """Law: ``from_json(dumps(data)) == from_values(data)``."""
    array = tensor.array
    if tensor.dtype is DType.BYTES:
        array = array.astype(object)
        array.reshape(-1)[:] = [item.decode() for item in array.reshape(-1).tolist()]
    data = array.tolist() if nested else array.reshape(-1).tolist()
    text = json.dumps(data).encode()
    quick = json_data.from_json("x", tensor.dtype, tensor.shape, text, DEFAULT_LIMITS)
    slow = json_data.from_values("x", tensor.dtype, tensor.shape, data, DEFAULT_LIMITS)
    assert Tensor("x", tensor.dtype, quick) == tensor
    assert Tensor("x", tensor.dtype, slow) == tensor
