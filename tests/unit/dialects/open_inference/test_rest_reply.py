"""JSON and binary replies."""

import json

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferResponse
from penstock.core.tensor import Array, Tensor
from penstock.dialects.open_inference.reply import PLAIN, OutputOptions, ReplyOptions
from penstock.dialects.open_inference.rest_reply import encode_infer


def _response(*outputs: Tensor, **others: object) -> InferResponse:
    return InferResponse("m", 3, outputs, **others)  # type: ignore[arg-type]


def _tensor(values: object, dtype: str = "<f4", name: str = "y") -> Tensor:
    array: Array = np.array(values, dtype)
    return Tensor.from_array(name, array)


def test_a_plain_reply_is_flat_and_leaves_out_what_is_empty() -> None:
    reply = encode_infer(_response(_tensor([[1, 2.5], [0, -0.0]])))
    assert reply.header_length is None
    assert reply.content_type == "application/json"
    assert reply.body() == (
        b'{"model_name":"m","model_version":"3","outputs":[{"name":"y","datatype":"FP32",'
        b'"shape":[2,2],"data":[1.0,2.5,0.0,-0.0]}]}'
    )


def test_id_and_parameters_are_echoed_when_there_are_any() -> None:
    document = json.loads(encode_infer(_response(id="7", parameters={"a": 1, "b": "x"})).body())
    assert document == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "parameters": {"a": 1, "b": "x"},
        "outputs": [],
    }


def test_nan_and_infinities_are_bare_tokens() -> None:
    response = _response(_tensor([np.nan, np.inf, -np.inf, 0.1], "<f8"), id="ü")
    text = encode_infer(response).body()
    assert b'"data":[NaN,Infinity,-Infinity,0.1]' in text
    assert json.loads(text)["id"] == "ü"


def test_the_word_null_in_a_reply_changes_nothing() -> None:
    response = _response(Tensor.from_array("null", np.array(["null", "ü"])))
    assert json.loads(encode_infer(response).body())["outputs"][0]["data"] == ["null", "ü"]


def test_scalars_and_empty_outputs() -> None:
    text = encode_infer(_response(_tensor(5, name="s"), _tensor(np.zeros((0, 4)), name="e")))
    first, second = json.loads(text.body())["outputs"]
    assert (first["shape"], first["data"]) == ([], [5.0])
    assert (second["shape"], second["data"]) == ([0, 4], [])


def test_binary_outputs_follow_the_json_in_order() -> None:
    a, b, c = _tensor([1, 2], name="a"), _tensor([3], "<i8", "b"), _tensor([True], "?", "c")
    options = ReplyOptions(True, {"a": OutputOptions(True), "b": OutputOptions(False)})
    reply = encode_infer(_response(a, b, c), options)
    assert reply.content_type == "application/octet-stream"
    content = reply.body()
    document = json.loads(content[: reply.header_length])
    assert document["outputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
        {"name": "b", "datatype": "INT64", "shape": [1], "data": [3]},
        {"name": "c", "datatype": "BOOL", "shape": [1], "parameters": {"binary_data_size": 1}},
    ]
    assert content[reply.header_length :] == np.array([1, 2], "<f4").tobytes() + b"\x01"


def test_a_listed_output_without_binary_data_is_json_whatever_the_request_says() -> None:
    options = ReplyOptions(True, {"y": OutputOptions()})
    assert encode_infer(_response(_tensor([1])), options).header_length is None


def test_binary_nan_keeps_its_bits_and_an_empty_output_has_size_zero() -> None:
    bits = np.array([0x7FC00001], "<u4").view("<f4")
    reply = encode_infer(
        _response(Tensor.from_array("y", bits), _tensor([], name="e")), ReplyOptions(True)
    )
    assert reply.body()[reply.header_length :] == b"\x01\x00\xc0\x7f"
    sizes = [o["parameters"] for o in json.loads(reply.parts[0])["outputs"]]
    assert sizes == [{"binary_data_size": 4}, {"binary_data_size": 0}]


@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16])
def test_half_floats_have_no_json_form(dtype: DType) -> None:
    response = _response(Tensor("y", dtype, np.zeros(1, dtype.numpy)))
    with pytest.raises(InvalidArgument) as caught:
        encode_infer(response, PLAIN)
    assert caught.value.message == (
        f"sending {dtype} data via JSON is not supported. "
        "Please use the binary data format for output 'y'"
    )
    assert encode_infer(response, ReplyOptions(True)).header_length


def test_bytes_that_are_no_text_need_binary() -> None:
    response = _response(Tensor.from_array("y", np.array([b"\xff"], dtype=object)))
    with pytest.raises(InvalidArgument, match=r"output 'y' .* not UTF-8 .* binary data format"):
        encode_infer(response)
    reply = encode_infer(response, ReplyOptions(True))
    assert reply.body()[reply.header_length :] == b"\x01\x00\x00\x00\xff"


def test_a_strided_output_is_written_row_by_row() -> None:
    array = np.arange(6, dtype="<i4").reshape(2, 3).T
    response = _response(Tensor.from_array("y", array))
    assert json.loads(encode_infer(response).body())["outputs"][0]["data"] == [0, 3, 1, 4, 2, 5]
    reply = encode_infer(response, ReplyOptions(True))
    assert reply.body()[reply.header_length :] == array.tobytes()
