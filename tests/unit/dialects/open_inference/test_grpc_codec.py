"""gRPC inference messages: what is read, the text of each refusal, what is written."""

from typing import Any

import numpy as np
import pytest

from penstock.core.deadline import Deadline
from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument, Unsupported
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.messages import InferResponse
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.grpc_codec import decode_infer
from penstock.dialects.open_inference.grpc_wire import encode_infer
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.reply import PLAIN, OutputOptions

NOW_NS = 1_000


def _message(
    datatype: str = "FP32", shape: tuple[int, ...] = (2,), raw: bytes | None = None, **contents: Any
) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m")
    item = message.inputs.add(name="x", datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(item.contents, field).extend(values)
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


def _refusal(message: pb.ModelInferRequest) -> str:
    with pytest.raises(InvalidArgument) as caught:
        decode_infer(message, NOW_NS)
    return caught.value.message


def test_a_plain_request() -> None:
    message = _message(raw=np.array([1, 2], "<f4").tobytes())
    message.id, message.model_version = "7", "3"
    decoded = decode_infer(message, NOW_NS)
    request = decoded.request
    assert decoded.reply is PLAIN
    assert (request.model, request.id, request.choice) == ("m", "7", VersionChoice(version=3))
    assert request.timeline.started_ns == NOW_NS
    assert request.inputs[0].array.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "choice"),
    [("", LATEST), ("12", VersionChoice(version=12)), ("stable", VersionChoice(label="stable"))],
)
def test_versions(text: str, choice: VersionChoice) -> None:
    message = _message(raw=bytes(8))
    message.model_version = text
    assert decode_infer(message, NOW_NS).request.choice == choice


def test_a_version_of_too_many_digits() -> None:
    message = _message(raw=bytes(8))
    message.model_version = "9" * 5000
    assert "model version must be an integer of at most 18 digits" in _refusal(message)


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-(2**15), 2**15 - 1]),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 2**16 - 1]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, float("inf")]),
        ("FP64", "fp64_contents", [0.1, -0.0]),
        ("BYTES", "bytes_contents", [b"\xff\0", b""]),
    ],
)
def test_typed_contents(datatype: str, field: str, values: list[Any]) -> None:
    tensor = decode_infer(_message(datatype, **{field: values}), NOW_NS).request.inputs[0]
    assert tensor.dtype is DType(datatype)
    assert tensor.array.tolist() == values


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            _message(raw=bytes(8), fp32_contents=[1]),
            "contents field must not be specified when using raw_input_contents for 'x' for "
            "model 'm'",
        ),
        (_message(), "unable to find data for input tensor 'x' for model 'm' in request."),
        (
            _message("FP32", fp64_contents=[1, 2]),
            "unexpected explicit tensor data for input tensor 'x' for model 'm' of datatype "
            "'FP32': fp64_contents; expected fp32_contents",
        ),
        (
            _message("INT64", int64_contents=[1, 2], int_contents=[1]),
            "unexpected explicit tensor data for input tensor 'x' for model 'm' of datatype "
            "'INT64': int_contents, int64_contents; expected int64_contents",
        ),
        (
            _message("FP16", fp32_contents=[1, 2]),
            "unexpected explicit tensor data for input tensor 'x' for model 'm' of datatype "
            "'FP16': fp32_contents; expected raw_input_contents",
        ),
        (
            _message("UINT8", uint_contents=[1, 256]),
            "input 'x': elements of datatype UINT8 are integers from 0 to 255, got 256",
        ),
        (
            _message("FP32", fp32_contents=[1]),
            "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 4",
        ),
        (
            _message("BYTES", bytes_contents=[b"a"]),
            "expected 2 string elements for inference input 'x' for model 'm', got 1",
        ),
        (
            _message("FP32", raw=bytes(9)),
            "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 9",
        ),
        (_message("FP32", (-1,), bytes(4)), "every dimension of 'shape' must be >= 0, got [-1]"),
        (_message("FP32", (2**62, 8), bytes(4)), "more than the limit of"),
        (_message("FP32", (0, 2**62, 8), b""), "more than the limit of"),
        (_message("WHAT", raw=b""), "inference input 'x' has the invalid data-type \"WHAT\""),
    ],
)
def test_wrong_tensors(message: pb.ModelInferRequest, text: str) -> None:
    assert text in _refusal(message)


def test_each_input_needs_its_raw_entry_and_no_more() -> None:
    message = _message(raw=bytes(8))
    message.raw_input_contents.append(b"")
    assert _refusal(message) == (
        "unexpected additional raw_input_contents for model 'm': 2 entries for 1 inputs"
    )
    del message.raw_input_contents[1]
    message.inputs.add(name="z", datatype="FP32", shape=[1])
    assert _refusal(message) == (
        "unable to find data for input tensor 'z' for model 'm' in request."
    )


def test_duplicates() -> None:
    message = _message(raw=bytes(8))
    message.outputs.add(name="y")
    message.outputs.add(name="y")
    assert _refusal(message) == "output 'y' already exists in request"
    message.inputs.append(message.inputs[0])
    message.raw_input_contents.append(bytes(8))
    assert _refusal(message) == "input 'x' already exists in request"


@pytest.mark.parametrize("raw", [None, b""])
def test_a_zero_in_the_shape_needs_no_data(raw: bytes | None) -> None:
    assert decode_infer(_message("FP32", (0, 3), raw), NOW_NS).request.inputs[0].shape == (0, 3)


def test_parameters() -> None:
    message = _message(raw=bytes(8))
    message.parameters["timeout"].int64_param = 5
    message.parameters["priority"].uint64_param = 3
    message.parameters["mode"].string_param = "a"
    message.parameters["r"].double_param = 0.5
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    request = decode_infer(message, NOW_NS).request
    assert request.deadline == Deadline(NOW_NS + 5_000)
    assert request.priority == 3
    assert request.parameters == {"mode": "a", "r": 0.5}
    message.parameters["empty"].SetInParent()
    assert _refusal(message) == "parameter 'empty' has no value"


def test_sequences_and_shared_memory_are_not_offered() -> None:
    message = _message(raw=bytes(8))
    message.parameters["sequence_id"].int64_param = 5
    with pytest.raises(Unsupported, match="'sequence_id'"):
        decode_infer(message, NOW_NS)
    for raw in (bytes(8), None):
        message = _message(raw=raw)
        message.inputs[0].parameters["shared_memory_region"].string_param = "r"
        with pytest.raises(Unsupported, match="shared memory is not supported"):
            decode_infer(message, NOW_NS)


def test_wanted_outputs() -> None:
    message = _message(raw=bytes(8))
    message.outputs.add(name="y").parameters["classification"].int64_param = 2
    message.outputs.add(name="z")
    decoded = decode_infer(message, NOW_NS)
    assert decoded.request.outputs == ("y", "z")
    assert decoded.reply.outputs == {"y": OutputOptions(False, 2), "z": OutputOptions()}


def test_a_reply_is_raw() -> None:
    outputs = (
        Tensor.from_array("a", np.array([[1, 2]], "<f4")),
        Tensor.from_array("b", np.array([b"x", b""], dtype=object)),
        Tensor.from_array("c", np.zeros((0, 2), "<i8")),
    )
    response = InferResponse(
        "m",
        3,
        outputs,
        "7",
        {"s": "x", "b": True, "i": -1, "u": 2**63, "f": 0.5, "huge": 2**70},
    )
    message = pb.ModelInferResponse.FromString(b"".join(encode_infer(response)))
    assert (message.model_name, message.model_version, message.id) == ("m", "3", "7")
    assert [(o.name, o.datatype, list(o.shape)) for o in message.outputs] == [
        ("a", "FP32", [1, 2]),
        ("b", "BYTES", [2]),
        ("c", "INT64", [0, 2]),
    ]
    assert list(message.raw_output_contents) == [
        np.array([1, 2], "<f4").tobytes(),
        b"\x01\0\0\0x\0\0\0\0",
        b"",
    ]
    parameters = {
        k: getattr(v, v.WhichOneof("parameter_choice")) for k, v in message.parameters.items()
    }
    assert parameters == {
        "s": "x",
        "b": True,
        "i": -1,
        "u": 2**63,
        "f": 0.5,
        "huge": str(2**70),
    }
