"""The binary data extension and raw binary requests."""

import json
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.signature import ModelSignature, TensorSpec
from tests.unit.dialects.open_inference.requests import decode, decode_binary, signature, tensor


def _binary(name: str, shape: list[int], datatype: str, size: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}


def _refusal(document: dict[str, Any], *buffers: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        decode_binary(document, *buffers)
    return caught.value.message


def test_buffers_follow_the_order_of_the_inputs_and_mix_with_json() -> None:
    first, last = np.arange(3, dtype="<i4"), np.array([1.5, np.nan], "<f8")
    document = {
        "inputs": [
            _binary("a", [3], "INT32", 12),
            tensor([7, 8], [2], "UINT8", name="b"),
            _binary("c", [1, 2], "FP64", 16),
            _binary("d", [0], "FP16", 0),
        ]
    }
    inputs = decode_binary(document, first.tobytes(), last.tobytes()).request.inputs
    assert [t.name for t in inputs] == ["a", "b", "c", "d"]
    assert inputs[0].array.tolist() == [0, 1, 2]
    assert inputs[1].array.tolist() == [7, 8]
    np.testing.assert_array_equal(inputs[2].array, [[1.5, np.nan]])
    assert inputs[3].shape == (0,)


def test_a_binary_tensor_is_a_view_of_the_body() -> None:
    text = json.dumps({"inputs": [_binary("x", [2], "INT8", 2)]}).encode()
    content = text + b"\x01\x02"
    array = decode(content, len(text)).request.inputs[0].array
    assert np.shares_memory(array, np.frombuffer(content, np.uint8))


@pytest.mark.parametrize(
    ("datatype", "bits"), [("FP16", b"\x00\x3c\x01\x7e"), ("BF16", b"\x80\x3f\xff\xff")]
)
def test_half_floats_keep_their_bits(datatype: str, bits: bytes) -> None:
    document = {"inputs": [_binary("x", [2], datatype, 4)]}
    assert bytes(decode_binary(document, bits).request.inputs[0].to_buffer()) == bits


def test_bytes_hold_anything() -> None:
    items = [b"", b"\x00\xff", "ü".encode()]
    raw = b"".join(len(item).to_bytes(4, "little") + item for item in items)
    document = {"inputs": [_binary("x", [3], "BYTES", len(raw))]}
    assert decode_binary(document, raw).request.inputs[0].array.tolist() == items


@pytest.mark.parametrize(
    ("item", "raw", "text"),
    [
        (
            _binary("x", [2], "FP32", 8),
            b"1234",
            "unexpected size for input 'x', expecting 4 additional bytes for model 'm'",
        ),
        (
            _binary("x", [1], "FP32", 4),
            b"12345",
            "unexpected additional input data for model 'm': 1 bytes follow the last input",
        ),
        (
            _binary("x", [8], "FP32", 40),
            b"1" * 40,
            "input byte size mismatch for input 'x' for model 'm'. Expected 32, got 40",
        ),
        (
            _binary("x", [2], "BYTES", 5),
            b"\x01\x00\x00\x00a",
            "expected 2 string elements for inference input 'x', got 1",
        ),
        (
            _binary("x", [1], "BYTES", 6),
            b"\x02\x00\x00\x00ab",
            None,
        ),
        (
            _binary("x", [1], "BYTES", 2),
            b"\x02\x00",
            "incomplete string length indicator for inference input 'x'",
        ),
        (
            _binary("x", [1], "BYTES", 5),
            b"\x02\x00\x00\x00a",
            "incomplete string data for inference input 'x'",
        ),
        (_binary("x", [1], "BOOL", 1), b"\x02", "BOOL elements are bytes 0 or 1, got 2"),
        (
            _binary("x", [1], "INT8", -1),
            b"",
            "input 'x': parameter 'binary_data_size' must be an integer >= 0, got -1",
        ),
        (
            _binary("x", [1], "INT8", True),
            b"",
            "input 'x': parameter 'binary_data_size' must be an integer >= 0, got true",
        ),
        (
            {**_binary("x", [1], "INT8", 1), "data": [1]},
            b"1",
            "But more than one is set for input 'x'",
        ),
    ],
)
def test_binary_sizes(item: dict[str, Any], raw: bytes, text: str | None) -> None:
    if text is None:
        assert decode_binary({"inputs": [item]}, raw).request.inputs[0].array.tolist() == [b"ab"]
    else:
        assert text in _refusal({"inputs": [item]}, raw)


def test_binary_data_without_the_header() -> None:
    content = json.dumps({"inputs": [_binary("x", [1], "FP32", 4)]}).encode()
    with pytest.raises(InvalidArgument, match="expecting 4 additional bytes for model 'm'"):
        decode(content)


@pytest.mark.parametrize("header_length", [-1, 15, 10**30])
def test_a_header_outside_of_the_body(header_length: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(b'{"inputs": []}', header_length)
    assert caught.value.message == (
        f"inference header size should be in range (0, 14), got: {header_length}"
    )


def test_the_header_may_span_the_whole_body() -> None:
    assert decode(b'{"inputs": []}', 14).request.inputs == ()


@pytest.mark.parametrize(
    ("model", "content", "shape"),
    [
        (signature(TensorSpec("x", DType.FP32, (-1, 4))), bytes(16), (1, 4)),
        (signature(TensorSpec("x", DType.FP32, (-1, -1, 2))), bytes(24), (1, 3, 2)),
        (signature(TensorSpec("x", DType.INT8, (3,)), batched=False), bytes(3), (3,)),
        (signature(TensorSpec("x", DType.INT8, (-1,)), batched=False), bytes(5), (5,)),
    ],
)
def test_a_raw_binary_request(
    model: ModelSignature, content: bytes, shape: tuple[int, ...]
) -> None:
    decoded = decode(content, 0, model)
    assert decoded.request.inputs[0].name == "x"
    assert decoded.request.inputs[0].shape == shape
    assert decoded.reply.is_binary("anything")


def test_a_raw_binary_request_of_text_is_one_element() -> None:
    model = signature(TensorSpec("x", DType.BYTES, (-1, 1)))
    tensor_ = decode(b"any\xff", 0, model).request.inputs[0]
    assert tensor_.array.tolist() == [[b"any\xff"]]


@pytest.mark.parametrize(
    ("model", "content", "text"),
    [
        (
            signature(TensorSpec("a", DType.FP32, (4,)), TensorSpec("b", DType.FP32, (4,))),
            b"",
            "Raw request must only have 1 input to be deduced, but model 'm' has 2 inputs",
        ),
        (
            signature(TensorSpec("x", DType.FP32, (-1, -1, -1))),
            b"",
            "The shape of the raw input 'x' can not be deduced for model 'm'",
        ),
        (
            signature(TensorSpec("x", DType.FP32, (-1, -1, 2))),
            b"1234567",
            "its shape is [1, -1, 2] and the body has 7 bytes",
        ),
        (
            signature(TensorSpec("x", DType.BYTES, (-1, 2))),
            b"",
            "For BYTES datatype raw input 'x', the model 'm' must have input shape [1], got [1, 2]",
        ),
        (
            signature(TensorSpec("x", DType.FP32, (-1, 4))),
            b"1",
            "input byte size mismatch for input 'x' for model 'm'. Expected 16, got 1",
        ),
    ],
)
def test_a_raw_binary_request_that_does_not_fit(
    model: ModelSignature, content: bytes, text: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(content, 0, model)
    assert text in caught.value.message
