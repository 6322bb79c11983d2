"""JSON inference requests: what is read, and the text of each refusal."""

import json
from typing import Any

import numpy as np
import pytest

from penstock.core.deadline import Deadline
from penstock.core.errors import InvalidArgument, Unsupported
from penstock.dialects.open_inference.reply import PLAIN, OutputOptions
from tests.unit.dialects.open_inference.requests import NOW_NS, body, decode, tensor


def _array(data: Any, shape: list[int], datatype: str) -> np.ndarray:
    return decode(body(tensor(data, shape, datatype))).request.inputs[0].array


def _refusal(content: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        decode(content)
    return caught.value.message


def test_a_plain_request() -> None:
    decoded = decode(body(tensor([1, 2.5, -3, 4], [1, 4]), id="7"))
    request = decoded.request
    assert decoded.reply is PLAIN
    assert (request.model, request.id, request.outputs) == ("m", "7", None)
    assert (request.deadline, request.priority, request.parameters) == (None, 0, {})
    assert request.timeline.started_ns == NOW_NS
    assert request.inputs[0].array.dtype == np.float32
    assert request.inputs[0].array.tolist() == [[1.0, 2.5, -3.0, 4.0]]


@pytest.mark.parametrize(
    "data",
    [
        [1, 2, 3, 4],
        [[1, 2], [3, 4]],
        [[[1], [2]], [[3], [4]]],
        [1, [2, [3, 4]]],
        [[], 1, [2, 3, 4]],
    ],
)
def test_any_nesting_of_the_right_count_is_read_in_order(data: Any) -> None:
    assert _array(data, [2, 2], "INT32").tolist() == [[1, 2], [3, 4]]
    texts = json.loads(json.dumps(data), parse_int=lambda digits: digits)
    assert _array(texts, [4], "BYTES").tolist() == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("datatype", ["INT64", "UINT64"])
def test_integers_beyond_2_to_53_are_exact(datatype: str) -> None:
    values = [2**53 + 1, 2**63 - 1, 0]
    assert _array(values, [3], datatype).tolist() == values
    assert _array([values], [3], datatype).tolist() == values


def test_the_largest_integers() -> None:
    assert _array([2**64 - 1], [1], "UINT64").tolist() == [2**64 - 1]
    assert _array([-(2**63)], [1], "INT64").tolist() == [-(2**63)]


def test_bare_nan_and_infinities_are_read() -> None:
    for datatype in ("FP32", "FP64"):
        array = _array([float("nan"), float("inf"), -float("inf"), 1, 0.5], [5], datatype)
        np.testing.assert_array_equal(array, [np.nan, np.inf, -np.inf, 1, 0.5])


def test_the_words_nan_and_infinity_in_strings_are_just_words() -> None:
    assert _array(["NaN", "Infinity"], [2], "BYTES").tolist() == [b"NaN", b"Infinity"]


def test_negative_zero_is_kept() -> None:
    assert np.signbit(_array([-0.0], [1], "FP64")).all()


def test_a_scalar_and_a_zero_in_the_shape() -> None:
    assert _array([5], [], "FP32").shape == ()
    assert _array(5, [], "FP32").item() == 5
    assert _array([], [0, 4], "FP32").shape == (0, 4)
    assert _array([[], []], [2, 0], "INT8").shape == (2, 0)
    without = tensor([], [0, 4])
    del without["data"]
    assert decode(body(without)).request.inputs[0].shape == (0, 4)


def test_bool_and_text() -> None:
    assert _array([True, False], [2], "BOOL").tolist() == [True, False]
    assert _array(["", "a\0b", "ü😀"], [3], "BYTES").tolist() == [
        b"",
        b"a\0b",
        "ü😀".encode(),
    ]


def test_unknown_keys_are_ignored() -> None:
    content = body(tensor([1], [1], comment={"a": [1]}), whatever=[{}], headers=None)
    assert len(decode(content).request.inputs) == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "failed to parse the request JSON buffer: Input data was truncated"),
        (b"{", "failed to parse the request JSON buffer: Input data was truncated"),
        (b"{]", "failed to parse the request JSON buffer: object keys must be strings at 1"),
        (b'{"x": NaN,}', "failed to parse the request JSON buffer: "),
        (b"[]", "Unable to parse 'request': Expected 'object', got 'array'"),
        (b"{}", "Unable to parse 'inputs': Object missing required field 'inputs'"),
        (
            b'{"inputs":{}}',
            "Unable to parse 'inputs': Expected 'array', got 'object' - at '$.inputs'",
        ),
        (
            b'{"inputs":[{"name":"x","datatype":"FP32","data":[1]}]}',
            "Unable to parse 'shape': Object missing required field 'shape' - at '$.inputs[0]'",
        ),
        (
            b'{"inputs":[{"name":"x","shape":[1],"data":[1]}]}',
            "Unable to parse 'datatype': Object missing required field 'datatype' - at",
        ),
        (
            b'{"inputs":[{"shape":[1],"datatype":"FP32","data":[NaN]}]}',
            "Unable to parse 'name': Object missing required field 'name' - at '$.inputs[0]'",
        ),
        (
            b'{"inputs":[{"name":"x","shape":[1.0],"datatype":"FP32"}]}',
            "Unable to parse 'inputs': Expected 'int', got 'float' - at '$.inputs[0].shape[0]'",
        ),
        (b'{"id":5,"inputs":[]}', "Unable to parse 'id': Expected 'str', got 'int' - at '$.id'"),
        (b'{"parameters":[],"inputs":[]}', "Unable to parse 'parameters': "),
        (b'{"parameters":{"a":[1]},"inputs":[]}', "Unable to parse 'parameters': "),
        (b'{"outputs":{},"inputs":[]}', "Unable to parse 'outputs': "),
        (b'{"outputs":[{}],"inputs":[]}', "Unable to parse 'name': "),
        (b'{"inputs":[],"id":"\xff"}', "failed to parse the request JSON buffer: "),
        (b'{"inputs":[],"id":"\\ud800","a":NaN}', "half of a surrogate pair"),
        (b'{"inputs":[],"a":NaN,"b":1e999}', "number 1e999 out of range"),
    ],
)
def test_what_is_no_request(content: bytes, text: str) -> None:
    assert text in _refusal(content)


@pytest.mark.parametrize(
    ("data", "shape", "datatype", "text"),
    [
        ([1, 0], [2], "BOOL", "element 0 must be true or false for datatype BOOL, got 1"),
        ([True], [1], "INT32", "must be an integer from -2147483648 to 2147483647"),
        ([1, True], [2], "FP32", "element 1 must be a number for datatype FP32, got true"),
        ([[1], [None]], [2], "FP64", "element 1 must be a number for datatype FP64, got null"),
        ([1.0], [1], "INT32", "got 1.0"),
        ([2.5], [1], "UINT8", "got 2.5"),
        ([float("nan")], [1], "INT32", "got nan"),
        ([256], [1], "UINT8", "must be an integer from 0 to 255 for datatype UINT8, got 256"),
        ([0, -1], [2], "UINT64", "element 1 must be an integer from 0 to"),
        ([2**64], [1], "UINT64", "got 18446744073709551616"),
        ([2**63], [1], "INT64", "got 9223372036854775808"),
        ([[-(2**63) - 1]], [1], "INT64", "got -9223372036854775809"),
        ([-129], [1], "INT8", "got -129"),
        ([1e39], [1], "FP32", "must be a number in range for datatype FP32, got 1e+39"),
        (
            [float("nan"), 1e39],
            [2],
            "FP32",
            "element 1 must be a number in range for datatype FP32",
        ),
        ([10**400], [1], "FP64", "must be a number in range for datatype FP64"),
        ([10**400, float("nan")], [2], "FP32", "must be a number in range for datatype FP32"),
        (["1"], [1], "FP32", 'element 0 must be a number for datatype FP32, got "1"'),
        ([1], [1], "BYTES", "element 0 must be a string for datatype BYTES, got 1"),
        ([{"a": 1}], [1], "FP32", "got an object"),
        (None, [1], "FP32", "got null"),
        ("abc", [1], "FP32", 'got "abc"'),
    ],
)
def test_a_wrong_element(data: Any, shape: list[int], datatype: str, text: str) -> None:
    message = _refusal(body(tensor(data, shape, datatype)))
    assert message.startswith("Unable to parse 'data' of input 'x': element ")
    assert text in message


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_have_no_json_form(datatype: str) -> None:
    text = (
        f"receiving {datatype} data via JSON is not supported. "
        "Please use the binary data format for input 'x'"
    )
    assert _refusal(body(tensor([1.0], [1], datatype))) == text
    assert _refusal(body(tensor([float("nan")], [1], datatype))) == text


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_too_many_and_too_few_elements(datatype: str) -> None:
    items = ["a", "b", "c"] if datatype == "BYTES" else [1, 2, 3]
    assert _refusal(body(tensor(items, [2], datatype))) == (
        "Unable to parse 'data': Shape does not match true shape of 'data' field: "
        "input 'x' of shape [2] holds 2 elements, got 3"
    )
    assert _refusal(body(tensor(items, [2, 2], datatype))) == (
        "Failed to parse 'data' field: shape does not match true shape: "
        "input 'x' of shape [2, 2] holds 4 elements, got 3"
    )


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([-1], "input 'x': every dimension of 'shape' must be >= 0, got [-1]"),
        ([2**62, 4], "more than the limit of"),
        ([2**70], "more than the limit of"),
        ([0, 2**62, 4], "more than the limit of"),
        ([1] * 33, "input 'x': 'shape' has 33 dimensions, more than the limit of 32"),
    ],
)
def test_an_impossible_shape(shape: list[int], text: str) -> None:
    assert text in _refusal(body(tensor([], shape)))


def test_an_unknown_datatype() -> None:
    message = _refusal(body(tensor([1], [1], "FLOAT")))
    assert message.startswith("inference input 'x' has the invalid data-type \"FLOAT\", expected")


def test_no_data_at_all() -> None:
    item = tensor([], [1])
    del item["data"]
    message = _refusal(body(item))
    assert message.startswith("Input must set only one of the following fields: 'data', ")
    assert message.endswith("But no field is set for input 'x'")


def test_duplicates() -> None:
    one = tensor([1], [1])
    assert _refusal(body(one, one)) == "input 'x' already exists in request"
    twice = [{"name": "y"}, {"name": "y"}]
    assert _refusal(body(one, outputs=twice)) == "output 'y' already exists in request"


@pytest.mark.parametrize("datatype", ["INT32", "BYTES", "FP32"])
def test_nesting_is_limited(datatype: str) -> None:
    deep = '{"inputs":[{"name":"x","shape":[1],"datatype":"%s","data":%s}]}'
    text = "JSON nesting depth exceeds maximum allowed limit (100)"
    item = '"a"' if datatype == "BYTES" else "1"
    fine = deep % (datatype, "[" * 100 + item + "]" * 100)
    assert decode(fine.encode()).request.inputs[0].shape == (1,)
    for depth in (101, 900, 200_000):
        content = deep % (datatype, "[" * depth + item + "]" * depth)
        assert _refusal(content.encode()) == text
    assert _refusal(b'{"inputs":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}") == text
    if datatype == "FP32":
        nan = deep % (datatype, "[" * 101 + "NaN" + "]" * 101)
        assert _refusal(nan.encode()) == text
        assert _refusal((deep % (datatype, "[" * 90_000 + "NaN")).encode()) == text


def test_timeout_priority_and_own_parameters() -> None:
    given = {"timeout": 1500, "priority": 2, "mode": "a", "n": 1, "r": 0.5, "b": True}
    request = decode(body(tensor([1], [1]), parameters=given)).request
    assert request.deadline == Deadline(NOW_NS + 1_500_000)
    assert request.priority == 2
    assert request.parameters == {"mode": "a", "n": 1, "r": 0.5, "b": True}
    assert decode(body(tensor([1], [1]), parameters={"timeout": 0})).request.deadline is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("timeout", -1, "parameter 'timeout' must be an integer >= 0, got -1"),
        ("timeout", "5", "parameter 'timeout' must be an integer >= 0, got \"5\""),
        ("timeout", 1.5, "parameter 'timeout' must be an integer >= 0, got 1.5"),
        ("priority", True, "parameter 'priority' must be an integer >= 0, got true"),
        ("binary_data_output", 1, "parameter 'binary_data_output' must be a boolean, got 1"),
        ("headers", "x", "parameter 'headers' is reserved for forwarding HTTP headers"),
        (
            "triton_x",
            1,
            "parameter keys starting with 'triton_' are reserved for Triton usage, got 'triton_x'",
        ),
    ],
)
def test_a_wrong_parameter(name: str, value: Any, text: str) -> None:
    assert _refusal(body(tensor([1], [1]), parameters={name: value})) == text


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "sequence_end"])
def test_sequences_are_not_offered_but_their_neutral_values_are_fine(name: str) -> None:
    for value in (0, "", False):
        assert decode(body(tensor([1], [1]), parameters={name: value})).request.parameters == {}
    with pytest.raises(Unsupported, match=f"parameter '{name}': the sequence extension"):
        decode(body(tensor([1], [1]), parameters={name: 1}))


def test_wanted_outputs_and_how_they_are_written() -> None:
    outputs = [
        {"name": "a"},
        {"name": "b", "parameters": {"binary_data": True}},
        {"name": "c", "parameters": {"classification": 3, "binary_data": False}},
    ]
    decoded = decode(
        body(tensor([1], [1]), outputs=outputs, parameters={"binary_data_output": True})
    )
    assert decoded.request.outputs == ("a", "b", "c")
    assert decoded.request.parameters == {}
    assert decoded.reply.outputs["c"] == OutputOptions(False, 3)
    assert decoded.reply.classifies
    assert [decoded.reply.is_binary(name) for name in "abcd"] == [False, True, False, True]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"classification": 0}, "output 'y': parameter 'classification' must be greater than 0"),
        ({"classification": "3"}, "parameter 'classification' must be an integer >= 0, got \"3\""),
        ({"binary_data": 1}, "parameter 'binary_data' must be a boolean, got 1"),
    ],
)
def test_wrong_output_parameters(parameters: dict[str, Any], text: str) -> None:
    outputs = [{"name": "y", "parameters": parameters}]
    assert text in _refusal(body(tensor([1], [1]), outputs=outputs))


def test_shared_memory_is_not_offered() -> None:
    region = {"shared_memory_region": "r", "shared_memory_byte_size": 4}
    item = {"name": "x", "shape": [1], "datatype": "FP32", "parameters": region}
    with pytest.raises(Unsupported, match=r"input 'x': .* shared memory is not supported"):
        decode(body(item))
    outputs = [{"name": "y", "parameters": region}]
    with pytest.raises(Unsupported, match=r"output 'y': .* shared memory is not supported"):
        decode(body(tensor([1], [1]), outputs=outputs))
