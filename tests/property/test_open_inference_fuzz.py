"""Whatever comes in, nothing but a PenstockError comes out."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.errors import PenstockError
from penstock.core.ids import LATEST
from penstock.core.messages import InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.dialects.open_inference import (
    grpc_codec,
    grpc_messages,
    grpc_wire,
    log_settings,
    repository,
)
from penstock.dialects.open_inference.config_overrides import overrides_from_config
from penstock.dialects.open_inference.errors import error_body
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.rest_reply import encode_infer
from penstock.dialects.open_inference.rest_request import decode_infer
from penstock.dialects.open_inference.trace_settings import TraceBook

SIGNATURE = ModelSignature((TensorSpec("x", DType.FP32, (-1, -1)),), ())
header_lengths = st.none() | st.integers(-2, 200)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "NaN", "FP32", "BYTES", "INT64", "BOOL", "BF16"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def _mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, anything)


tensor_parameters = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "classification", "shared_memory_region"]),
    _mostly(st.integers(0, 20)),
)
tensor_fields = st.fixed_dictionaries(
    {
        "name": _mostly(st.sampled_from(["x", "y"])),
        "shape": _mostly(st.lists(st.integers(-1, 4) | st.just(2**62), max_size=3)),
        "datatype": _mostly(st.sampled_from([str(dtype) for dtype in DType])),
    },
    optional={"data": _mostly(st.lists(scalars, max_size=4)), "parameters": tensor_parameters},
)
bodies = st.fixed_dictionaries(
    {"inputs": _mostly(st.lists(tensor_fields, max_size=3))},
    optional={
        "id": _mostly(st.text(max_size=3)),
        "outputs": _mostly(st.lists(tensor_fields, max_size=2)),
        "parameters": _mostly(
            st.dictionaries(
                st.sampled_from(["timeout", "priority", "binary_data_output", "a", "headers"]),
                scalars,
            )
        ),
    },
)


def _try_rest(body: bytes, header_length: int | None) -> None:
    try:
        decoded = decode_infer(
            body,
            model="m",
            choice=LATEST,
            header_length=header_length,
            signature_of=lambda: SIGNATURE,
            now_ns=0,
        )
    except PenstockError as error:
        json.loads(error_body(error.message))
        return
    request = decoded.request
    response = InferResponse("m", 1, request.inputs, request.id, request.parameters)
    with suppress(PenstockError):
        encode_infer(response, decoded.reply)
    pb.ModelInferResponse.FromString(b"".join(grpc_wire.encode_infer(response)))


@given(st.binary(max_size=200), header_lengths)
def test_any_bytes(body: bytes, header_length: int | None) -> None:
    _try_rest(body, header_length)


@given(anything, header_lengths)
def test_any_json(document: object, header_length: int | None) -> None:
    _try_rest(json.dumps(document).encode(), header_length)


@given(bodies, st.binary(max_size=24), st.booleans(), st.booleans())
def test_almost_requests(document: object, tail: bytes, binary: bool, escape: bool) -> None:
    text = json.dumps(document, ensure_ascii=escape).encode("utf-8", "surrogatepass")
    _try_rest(text + tail if binary else text, len(text) if binary else None)


@given(bodies, st.data())
def test_damaged_requests(document: object, data: st.DataObject) -> None:
    text = bytearray(json.dumps(document).encode())
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] = data.draw(st.integers(0, 255))
    _try_rest(bytes(text), None)


@given(st.binary(max_size=200), st.integers(0, 2) | st.just(20_000))
def test_any_grpc_bytes(wire: bytes, more: int) -> None:
    """Small and large ones, which are read in two ways."""
    body = wire + b"\x0a\x00" * more
    try:
        expected = pb.ModelInferRequest.FromString(body)
    except DecodeError:
        expected = None
    with suppress(PenstockError):
        message, raw = grpc_wire.read_infer(body)
        message.raw_input_contents.extend(map(bytes, raw or ()))
        assert message == expected
        grpc_codec.decode_infer(message, 0)


@given(
    datatype=st.sampled_from([*map(str, DType), "X"]),
    shape=st.lists(st.integers(-1, 4) | st.just(2**62), max_size=3),
    raw=st.lists(st.binary(max_size=24), max_size=2),
    contents=st.builds(
        pb.InferTensorContents,
        int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        fp32_contents=st.lists(st.floats(width=32), max_size=3),
        bytes_contents=st.lists(st.binary(max_size=3), max_size=3),
    ),
    version=st.text(st.characters(exclude_categories=["Cs"])) | st.integers().map(str),
)
def test_almost_grpc_requests(
    datatype: str,
    shape: list[int],
    raw: list[bytes],
    contents: pb.InferTensorContents,
    version: str,
) -> None:
    message = pb.ModelInferRequest(model_version=version, raw_input_contents=raw)
    item = message.inputs.add(name="x", datatype=datatype, shape=shape)
    if contents.ByteSize():
        item.contents.CopyFrom(contents)
    with suppress(PenstockError):
        grpc_codec.decode_infer(message, 0)


config_fields = st.dictionaries(
    st.sampled_from(
        [
            "name",
            "max_batch_size",
            "version_policy",
            "input",
            "instance_group",
            "dynamic_batching",
            "model_transaction_policy",
            "optimization",
            "batching",
            "x",
        ]
    ),
    anything,
)


@given(config_fields | anything)
def test_any_config(config: object) -> None:
    with suppress(PenstockError):
        overrides_from_config(json.dumps(config))


@given(anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
def test_any_control_body(body: bytes) -> None:
    for read in (
        repository.read_index_body,
        repository.read_load_body,
        repository.read_unload_body,
        log_settings.read_settings_body,
    ):
        with suppress(PenstockError):
            read(body)


@given(st.dictionaries(st.sampled_from(["log_info", "log_verbose_level", "log_format"]), anything))
def test_any_log_setting(changes: dict[str, Any]) -> None:
    with suppress(PenstockError):
        settings = log_settings.change_log_settings(log_settings.LogSettings(), changes)
        grpc_messages.log_settings(settings)
        msgspec.json.encode(log_settings.log_settings_body(settings))


@given(
    st.dictionaries(
        st.sampled_from(["trace_level", "trace_rate", "trace_count", "log_frequency"]), anything
    )
)
def test_any_trace_setting(changes: dict[str, Any]) -> None:
    with suppress(PenstockError):
        grpc_messages.trace_settings(TraceBook().change(changes, "m").settings("m"))
