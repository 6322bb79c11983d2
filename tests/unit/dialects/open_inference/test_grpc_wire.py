"""``ModelInfer`` as bytes: the raw tensors are views, and the message is protobuf's."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferResponse
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.grpc_codec import decode_infer
from penstock.dialects.open_inference.grpc_wire import encode_infer, read_infer
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb

LARGE = np.arange(64 * 1024, dtype="<f4").reshape(256, 256)


def request(*arrays: np.ndarray) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m", id="7")
    for position, array in enumerate(arrays):
        message.inputs.add(name=f"x{position}", datatype="FP32", shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    return message


def lies_in(array: np.ndarray, body: bytes | bytearray) -> bool:
    return np.shares_memory(array, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_large_tensor_is_a_view_of_the_message(kind: type) -> None:
    """No copy between the message and the tensor."""
    body = kind(request(LARGE, LARGE[:1]).SerializeToString())
    message, raw = read_infer(body)
    first, second = decode_infer(message, 0, raw=raw).request.inputs
    np.testing.assert_array_equal(first.array, LARGE)
    np.testing.assert_array_equal(second.array, LARGE[:1])
    assert lies_in(first.array, body)
    assert not first.array.flags.writeable
    assert (message.model_name, message.id) == ("m", "7")


def test_a_small_message_is_left_to_protobuf() -> None:
    message, raw = read_infer(request(LARGE[:1]).SerializeToString())
    assert raw is None
    np.testing.assert_array_equal(decode_infer(message, 0).request.inputs[0].array, LARGE[:1])


def test_large_typed_contents() -> None:
    sent = pb.ModelInferRequest(model_name="m")
    sent.inputs.add(name="x", datatype="FP32", shape=LARGE.shape)
    sent.inputs[0].contents.fp32_contents.extend(LARGE.reshape(-1).tolist())
    message, raw = read_infer(sent.SerializeToString())
    tensor = decode_infer(message, 0, raw=raw).request.inputs[0]
    np.testing.assert_array_equal(tensor.array, LARGE)


@pytest.mark.parametrize(
    "tail",
    [
        b"\x3a\xff\xff\xff\xff\x0f",  # a tensor that goes on behind the message
        b"\x3a" + b"\xff" * 10,  # a length without an end
        b"\x3a",
        b"\x07",  # a wire type that does not exist
    ],
)
def test_what_is_cut_or_wrong_is_refused(tail: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no valid ModelInferRequest message"):
        read_infer(request(LARGE).SerializeToString() + tail)


@pytest.mark.parametrize("tail", [b"\x82\x01\x01x", b"\x45\0\0\0\0", b"\x32\x00" * 5000])
def test_fields_of_a_later_protocol_are_protobufs_to_read(tail: bytes) -> None:
    message, raw = read_infer(request(LARGE).SerializeToString() + tail)
    assert raw is None
    assert len(message.raw_input_contents) == 1


def test_the_answer_has_views_of_the_outputs_and_protobufs_bytes() -> None:
    outputs = (Tensor.from_array("a", LARGE), Tensor.from_array("b", LARGE[0]))
    pieces = encode_infer(InferResponse("m", 1, outputs, "7"))
    views = [np.frombuffer(piece, np.uint8) for piece in pieces]
    assert sum(np.shares_memory(view, LARGE) for view in views) == 2
    wire = b"".join(pieces)
    assert pb.ModelInferResponse.FromString(wire).SerializeToString() == wire
