"""gRPC inference: ``ModelInferRequest`` to ``InferRequest``, ``InferResponse`` to its message.

The tensors' bytes are ``grpc_wire``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.messages import InferRequest, Parameter, Timeline
from penstock.core.tensor import Array, Tensor, object_array
from penstock.dialects.open_inference import parameters
from penstock.dialects.open_inference.limits import DEFAULT_LIMITS, DecodeLimits
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.raw_data import from_raw
from penstock.dialects.open_inference.reply import PLAIN, DecodedInfer, ReplyOptions
from penstock.dialects.open_inference.tensor_checks import check_shape, check_unique, read_dtype

CONTENTS = {
    DType.BOOL: "bool_contents",
    DType.INT8: "int_contents",
    DType.INT16: "int_contents",
    DType.INT32: "int_contents",
    DType.INT64: "int64_contents",
    DType.UINT8: "uint_contents",
    DType.UINT16: "uint_contents",
    DType.UINT32: "uint_contents",
    DType.UINT64: "uint64_contents",
    DType.FP32: "fp32_contents",
    DType.FP64: "fp64_contents",
    DType.BYTES: "bytes_contents",
}
"""The field of InferTensorContents that holds a datatype; FP16 and BF16 have none."""
_STREAM_ONLY = "triton_enable_empty_final_response"
_MAX_VERSION_DIGITS = 18


def decode_infer(
    message: pb.ModelInferRequest,
    now_ns: int,
    limits: DecodeLimits = DEFAULT_LIMITS,
    raw: Sequence[bytes | memoryview] | None = None,
) -> DecodedInfer:
    """Decode the request of ``ModelInfer``.

    Law: ``decode(encode(x)) == x`` for every datatype. The tensors are not checked against the
    model's signature here; that is ``ModelSignature.check``.

    Args:
        message: as received.
        now_ns: when it arrived, on the monotonic clock.
        limits: bounds of the structure.
        raw: the ``raw_input_contents`` where the message lacks them; None: it has them.

    Raises:
        InvalidArgument: the request is malformed; the text names the field.
        Unsupported: it asks for shared memory or a sequence.

    Concurrency: pure; any thread.
    Source: Open Inference Protocol, "GRPC"; Triton's extensions "Parameters",
    "Schedule Policy", "Classification".
    """
    model = message.model_name
    if raw is None:
        raw = list(message.raw_input_contents)
    inputs = read_tensors(model, message.inputs, raw, limits)
    if len(inputs) > 1:
        check_unique("input", [tensor.name for tensor in inputs])
    request = InferRequest(
        model, inputs, read_version(message.model_version), message.id, timeline=Timeline(now_ns)
    )
    if message.parameters:
        given = {k: v for k, v in plain(message.parameters).items() if k != _STREAM_ONLY}
        read = parameters.read_request(given, now_ns)
        request.parameters = read.others
        request.deadline = read.deadline
        request.priority = read.priority
    if not message.outputs:
        return DecodedInfer(request, PLAIN)
    request.outputs = tuple([item.name for item in message.outputs])
    check_unique("output", request.outputs)
    return DecodedInfer(
        request,
        ReplyOptions(
            outputs={
                item.name: parameters.read_output(item.name, plain(item.parameters))
                for item in message.outputs
            }
        ),
    )


def read_tensors(
    model: str, items: Any, raw: Sequence[bytes | memoryview], limits: DecodeLimits = DEFAULT_LIMITS
) -> tuple[Tensor, ...]:
    """The tensors of a request, or of an answer: their messages have the same fields.

    Args:
        model: the model's name, for messages.
        items: what describes the tensors.
        raw: their contents; empty: ``items`` hold them.
        limits: bounds of the structure.

    Raises:
        InvalidArgument: what describes a tensor does not fit what it holds.
        Unsupported: a tensor is in shared memory.
    """
    if raw:
        return _raw_inputs(model, items, raw, limits)
    return tuple([_typed_input(model, item, limits) for item in items])


def encode_parameters(given: Mapping[str, Parameter]) -> pb.ModelInferResponse:
    """The parameters of an answer of ``ModelInfer``; ``grpc_wire`` encodes the rest of it.

    Concurrency: pure; any thread.
    """
    message = pb.ModelInferResponse()
    for name, value in given.items():
        _set_parameter(message.parameters[name], value)
    return message


def read_version(text: str) -> VersionChoice:
    """The version a message names: "" the newest, a number, or a label.

    Raises:
        InvalidArgument: the number has too many digits.
    """
    if not text:
        return LATEST
    if len(text) > _MAX_VERSION_DIGITS and text.isdecimal():
        raise InvalidArgument(
            f"model version must be an integer of at most {_MAX_VERSION_DIGITS} digits, "
            f"got one of {len(text)}"
        )
    return VersionChoice.parse(text)


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """A message's parameters as plain values.

    Raises:
        InvalidArgument: a parameter holds no value.
    """
    values: dict[str, Any] = {}
    for name, parameter in given.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidArgument(f"parameter '{name}' has no value")
        values[name] = getattr(parameter, choice)
    return values


def _raw_inputs(
    model: str,
    items: Any,
    buffers: Sequence[bytes | memoryview],
    limits: DecodeLimits,
) -> tuple[Tensor, ...]:
    inputs: list[Tensor] = []
    for position, item in enumerate(items):
        name = item.name
        if item.parameters:
            parameters.refuse_shared_memory("input", name, item.parameters)
        if item.HasField("contents"):
            raise InvalidArgument(
                "contents field must not be specified when using raw_input_contents for "
                f"'{name}' for model '{model}'"
            )
        if position >= len(buffers):
            raise _no_data(model, name)
        dtype = read_dtype(name, item.datatype)
        shape = tuple(item.shape)
        check_shape(name, shape, limits)
        inputs.append(from_raw(model, name, dtype, shape, buffers[position]))
    if len(buffers) > len(inputs):
        raise InvalidArgument(
            f"unexpected additional raw_input_contents for model '{model}': "
            f"{len(buffers)} entries for {len(inputs)} inputs"
        )
    return tuple(inputs)


def _typed_input(
    model: str, item: pb.ModelInferRequest.InferInputTensor, limits: DecodeLimits
) -> Tensor:
    name = item.name
    if item.parameters:
        parameters.refuse_shared_memory("input", name, item.parameters)
    dtype = read_dtype(name, item.datatype)
    shape = tuple(item.shape)
    count = check_shape(name, shape, limits)
    wanted = CONTENTS.get(dtype)
    filled = [field.name for field, _ in item.contents.ListFields()]
    if any(field != wanted for field in filled):
        raise InvalidArgument(
            f"unexpected explicit tensor data for input tensor '{name}' for model '{model}' "
            f"of datatype '{dtype}': {', '.join(filled)}; expected "
            f"{wanted or 'raw_input_contents'}"
        )
    if not filled:
        if count:
            raise _no_data(model, name)
        return Tensor(name, dtype, np.empty(shape, dtype.numpy))
    values = getattr(item.contents, filled[0])
    _check_count(model, name, dtype, count, len(values))
    return Tensor(name, dtype, _typed_array(name, dtype, list(values)).reshape(shape))


def _typed_array(name: str, dtype: DType, values: list[Any]) -> Array:
    if dtype is DType.BYTES:
        return object_array(values)
    if dtype.is_integer and dtype.itemsize_bytes < np.dtype(np.int32).itemsize:
        bounds = np.iinfo(dtype.numpy)
        wrong = next((v for v in values if not bounds.min <= v <= bounds.max), None)
        if wrong is not None:
            raise InvalidArgument(
                f"input '{name}': elements of datatype {dtype} are integers from "
                f"{bounds.min} to {bounds.max}, got {wrong}"
            )
    array: Array = np.array(values, dtype.numpy)
    return array


def _check_count(model: str, name: str, dtype: DType, count: int, got: int) -> None:
    if got == count:
        return
    if dtype is DType.BYTES:
        raise InvalidArgument(
            f"expected {count} string elements for inference input '{name}' for model "
            f"'{model}', got {got}"
        )
    size = dtype.itemsize_bytes
    raise InvalidArgument(
        f"input byte size mismatch for input '{name}' for model '{model}'. "
        f"Expected {count * size}, got {got * size}"
    )


def _no_data(model: str, name: str) -> InvalidArgument:
    return InvalidArgument(
        f"unable to find data for input tensor '{name}' for model '{model}' in request."
    )


def _set_parameter(parameter: pb.InferParameter, value: Parameter) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        parameter.int64_param = value
    elif isinstance(value, int) and 0 <= value < 2**64:
        parameter.uint64_param = value
    else:
        parameter.string_param = str(value)
