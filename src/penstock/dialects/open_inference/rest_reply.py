"""REST inference reply: ``InferResponse`` to bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferResponse, Parameter
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.reply import PLAIN, ReplyOptions

_NO_JSON_FORM = (DType.FP16, DType.BF16)


class _Output(msgspec.Struct, omit_defaults=True, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


class _Reply(msgspec.Struct, omit_defaults=True, gc=False):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str = ""
    parameters: Mapping[str, Parameter] | None = None


_ENCODER = msgspec.json.Encoder()


class EncodedReply(msgspec.Struct, frozen=True):
    """A reply's body.

    Attributes:
        parts: the body in pieces, to be sent in this order; buffers are views of the outputs.
        header_length: value of ``Inference-Header-Content-Length``; None: the body is all JSON
            and the header must not be sent.
    """

    parts: tuple[bytes | memoryview, ...]
    header_length: int | None = None

    @property
    def content_type(self) -> str:
        """Value of ``Content-Type``."""
        return "application/json" if self.header_length is None else "application/octet-stream"

    def body(self) -> bytes:
        """The whole body; copied only where it has more than one part."""
        first = self.parts[0]
        if len(self.parts) == 1 and isinstance(first, bytes):
            return first
        return b"".join(self.parts)


def encode_infer(response: InferResponse, reply: ReplyOptions = PLAIN) -> EncodedReply:
    """Encode the answer to an inference request.

    Numbers in JSON are flat and row-major; NaN and infinities are the bare tokens ``NaN``,
    ``Infinity`` and ``-Infinity``, as in Triton; FP32 is written with the digits of the double
    of the same value.

    Args:
        response: the answer; classification, where wanted, is done already.
        reply: which outputs are written in binary.

    Raises:
        InvalidArgument: an output has no JSON form (FP16, BF16, BYTES that are not UTF-8) and
            was not requested in binary.

    Concurrency: pure; any thread.
    Source: Open Inference Protocol, "Inference Response JSON Object"; Triton, "Binary Tensor
    Data Extension".
    """
    outputs: list[_Output] = []
    buffers: list[bytes | memoryview] = []
    plain = reply is PLAIN
    for tensor in response.outputs:
        shape = tensor.array.shape
        if plain or not reply.is_binary(tensor.name):
            outputs.append(_Output(tensor.name, tensor.dtype, shape, None, _elements(tensor)))
            continue
        buffer = tensor.to_buffer()
        buffers.append(buffer)
        size = {"binary_data_size": len(buffer)}
        outputs.append(_Output(tensor.name, tensor.dtype, shape, size))
    document = _Reply(
        response.model,
        str(response.version),
        outputs,
        response.id,
        response.parameters or None,
    )
    text = _ENCODER.encode(document)
    if b"null" in text:
        text = _with_bare_numbers(document)
    if not buffers:
        return EncodedReply((text,))
    return EncodedReply((text, *buffers), len(text))


def _elements(tensor: Tensor) -> list[Any]:
    if tensor.dtype is DType.BYTES:
        return _strings(tensor)
    if tensor.dtype in _NO_JSON_FORM:
        raise InvalidArgument(
            f"sending {tensor.dtype} data via JSON is not supported. "
            f"Please use the binary data format for output '{tensor.name}'"
        )
    items: list[Any] = tensor.array.reshape(-1).tolist()
    return items


def _strings(tensor: Tensor) -> list[str]:
    try:
        return [item.decode() for item in tensor.array.reshape(-1).tolist()]
    except UnicodeDecodeError:
        raise InvalidArgument(
            f"output '{tensor.name}' holds BYTES that are not UTF-8 and have no JSON form. "
            "Please use the binary data format for it"
        ) from None


def _with_bare_numbers(document: _Reply) -> bytes:
    """Encode again, slower: msgspec writes NaN and infinities as null, the protocol does not."""
    builtins = msgspec.to_builtins(document, str_keys=True)
    return json.dumps(builtins, ensure_ascii=False, separators=(",", ":")).encode()
