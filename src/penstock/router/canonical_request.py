"""Canonical request: the same bytes for the same question, whoever asks, however it is put."""

from __future__ import annotations

import msgspec

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferRequest, InferResponse, Parameter
from penstock.core.tensor import Tensor

_FORMAT = 1

Fields = tuple[str, str, tuple[int, ...], "bytes | memoryview"]
"""Name, datatype, shape and bytes of a tensor."""


def canonical_request(request: InferRequest, revision: str = "") -> bytes:
    """What an answer depends on, as bytes.

    Laws: equal for two requests that differ in nothing but id, deadline, priority, trace context,
    the order of their inputs or of their parameters; different for two that differ in an input's
    name, datatype, shape or bytes, in the outputs wanted or their order, or in a parameter that
    reaches the model.

    Args:
        request: the request.
        revision: tells a version's files apart from others under the same number.

    Raises:
        ValueError, OverflowError: a parameter is beyond 64 bits, or text that is no Unicode.
    """
    inputs = [_fields(tensor) for tensor in sorted(request.inputs, key=lambda t: t.name)]
    parameters = sorted(request.parameters.items())
    return msgspec.msgpack.encode((_FORMAT, revision, request.outputs, parameters, inputs))


class _Answer(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A response without its request."""

    format: int
    outputs: list[tuple[str, str, tuple[int, ...], bytes]]
    parameters: dict[str, Parameter]


def pack_answer(response: InferResponse) -> bytes:
    """A response's outputs and parameters as bytes; nothing of the request's identity.

    Raises:
        ValueError, OverflowError, TypeError: a parameter cannot be packed.
    """
    outputs = [_fields(tensor) for tensor in response.outputs]
    return msgspec.msgpack.encode((_FORMAT, outputs, response.parameters))


def unpack_answer(packed: bytes) -> tuple[tuple[Tensor, ...], dict[str, Parameter]] | None:
    """Outputs and parameters that were packed.

    Returns:
        arrays that nobody else holds, and the parameters; None: the bytes are not ours.
    """
    try:
        answer = msgspec.msgpack.decode(packed, type=_Answer)
        outputs = tuple(_tensor(*fields) for fields in answer.outputs)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidArgument, KeyError):
        return None
    return (outputs, answer.parameters) if answer.format == _FORMAT else None


def _fields(tensor: Tensor) -> Fields:
    return tensor.name, tensor.dtype, tensor.shape, tensor.to_buffer()


def _tensor(name: str, datatype: str, shape: tuple[int, ...], content: bytes) -> Tensor:
    return Tensor.from_buffer(name, DType[datatype], shape, memoryview(bytearray(content)))
