"""The client's side of gRPC inference: requests out, answers and metadata in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument, MalformedAnswer, Unsupported
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.grpc_codec import read_tensors
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb

SERVICE = "/inference.GRPCInferenceService"


def encode_request(model: str, version: str, inputs: Sequence[Tensor]) -> bytes:
    """A ``ModelInferRequest`` for every output of a model.

    Args:
        model: its name.
        version: a version number or label; "": the server's choice.
        inputs: the tensors, their contents raw.

    Concurrency: pure; any thread.
    """
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    for tensor in inputs:
        message.inputs.add(name=tensor.name, datatype=tensor.dtype.value, shape=tensor.shape)
        message.raw_input_contents.append(bytes(tensor.to_buffer()))
    encoded: bytes = message.SerializeToString()
    return encoded


def read_answer(body: bytes, signature: ModelSignature) -> tuple[Tensor, ...]:
    """The outputs of a ``ModelInferResponse``, in the signature's order.

    Raises:
        MalformedAnswer: it is no such message, its tensors do not fit their descriptions, or an
            output is missing.

    Concurrency: pure; any thread.
    """
    try:
        message = pb.ModelInferResponse.FromString(body)
        tensors = read_tensors(
            message.model_name, message.outputs, list(message.raw_output_contents)
        )
    except (DecodeError, InvalidArgument, Unsupported) as err:
        raise MalformedAnswer(f"the server's answer cannot be read: {err}") from err
    by_name = {tensor.name: tensor for tensor in tensors}
    missing = [spec.name for spec in signature.outputs if spec.name not in by_name]
    if missing:
        raise MalformedAnswer(
            f"the server's answer has the outputs {sorted(by_name)}, expected '{missing[0]}' too"
        )
    return tuple(by_name[spec.name] for spec in signature.outputs)


def read_signature(
    metadata: pb.ModelMetadataResponse, optional: Iterable[str] = ()
) -> ModelSignature:
    """The signature that a server tells of a model.

    It is taken to batch where the first dimension of every tensor is free.

    Args:
        metadata: the server's ``ModelMetadataResponse``.
        optional: the inputs that may be left out, which metadata does not tell.

    Raises:
        MalformedAnswer: a datatype is none of the protocol's.
    """
    left_out = frozenset(optional)
    inputs = tuple(_spec(item, item.name in left_out) for item in metadata.inputs)
    outputs = tuple(_spec(item, False) for item in metadata.outputs)
    batched = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    return ModelSignature(inputs, outputs, batched)


def _spec(item: Any, optional: bool) -> TensorSpec:
    try:
        dtype = DType(item.datatype)
    except ValueError as err:
        raise MalformedAnswer(
            f"the server tells that '{item.name}' has the datatype '{item.datatype}', "
            f"expected one of {[str(one) for one in DType]}"
        ) from err
    return TensorSpec(item.name, dtype, tuple(item.shape), optional=optional)
