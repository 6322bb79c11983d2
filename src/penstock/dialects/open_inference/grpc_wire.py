"""``ModelInfer`` as bytes: tensors go past protobuf, which would copy each of them twice."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from google.protobuf.message import DecodeError

from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferResponse
from penstock.dialects.open_inference.grpc_codec import encode_parameters
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb

Buffer: TypeAlias = "bytes | bytearray | memoryview"

_SPLIT_FROM_BYTES = 16 * 1024
"""Below this, protobuf's copies cost less than a look at the fields."""
_MAX_FIELDS = 4096
_RAW_INPUT = 7 << 3 | 2
_ID = bytes([3 << 3 | 2])
_RAW_OUTPUT = bytes([6 << 3 | 2])
_VARINT, _LENGTH = 0, 2
_MORE = 0x80


def read_infer(body: Buffer) -> tuple[pb.ModelInferRequest, Sequence[memoryview] | None]:
    """Parse a ``ModelInferRequest``.

    Args:
        body: the message as it came; not to be changed as long as the tensors live.

    Returns:
        the message; and where that saves copies, its ``raw_input_contents`` as views of ``body``
        which the message then lacks (None: the message has them).

    Raises:
        InvalidArgument: it is no such message.

    Concurrency: pure; any thread.
    """
    found = _split(body) if len(body) >= _SPLIT_FROM_BYTES else None
    rest, raw = (bytes(body), None) if found is None else found
    try:
        return pb.ModelInferRequest.FromString(rest), raw
    except DecodeError as err:
        raise InvalidArgument(f"the request is no valid ModelInferRequest message: {err}") from err


def encode_infer(response: InferResponse) -> list[Buffer]:
    """Encode the answer of ``ModelInfer``: every output in ``raw_output_contents``.

    Args:
        response: the answer; classification, where wanted, is done already.

    Returns:
        the pieces of the message, in order; views of the outputs among them.

    Concurrency: pure; any thread.
    """
    pieces: list[Buffer] = [_model(response.model, response.version)]
    if response.id:
        encoded = response.id.encode()
        pieces.append(b"%b%b%b" % (_ID, _varint(len(encoded)), encoded))
    if response.parameters:
        pieces.append(encode_parameters(response.parameters).SerializeToString())
    outputs = response.outputs
    pieces += [_output(x.name, x.dtype.value, x.array.shape) for x in outputs]
    for tensor in outputs:
        raw = tensor.to_buffer()
        pieces += (_RAW_OUTPUT + _varint(len(raw)), raw)
    return pieces


@functools.lru_cache(maxsize=1024)
def _model(name: str, version: int) -> bytes:
    """The fields of an answer that say who answers."""
    message = pb.ModelInferResponse(model_name=name, model_version=str(version))
    encoded: bytes = message.SerializeToString()
    return encoded


@functools.lru_cache(maxsize=4096)
def _output(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """The field of an answer that describes one output, whose shapes come again and again."""
    message = pb.ModelInferResponse()
    message.outputs.add(name=name, datatype=datatype, shape=shape)
    encoded: bytes = message.SerializeToString()
    return encoded


def _split(body: Buffer) -> tuple[bytes, list[memoryview]] | None:
    """What is no raw tensor, and the raw tensors; None: it is for protobuf to say what it is."""
    view = memoryview(body).toreadonly()
    rest: list[memoryview] = []
    raw: list[memoryview] = []
    kept = 0
    try:
        for key, start, at, end in _fields(view):
            if key == _RAW_INPUT:
                rest.append(view[kept:start])
                raw.append(view[at:end])
                kept = end
    except (IndexError, ValueError):
        return None
    rest.append(view[kept:])
    return b"".join(rest), raw


def _fields(view: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Each field's key, where it starts, and where its value starts and ends.

    Raises:
        IndexError, ValueError: this is nothing that a usual client sends.
    """
    at, size = 0, len(view)
    for _ in range(_MAX_FIELDS):
        if at == size:
            return
        start, key = at, view[at]
        if key >= _MORE:  # a field number over 15: there is none
            break
        wire_type = key & 7
        if wire_type not in (_VARINT, _LENGTH):  # no field of this message is of another
            break
        value, at = _read_varint(view, at + 1)
        end = at + value if wire_type == _LENGTH else at
        if end > size:
            break
        yield key, start, at, end
        at = end
    raise ValueError


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError


def _varint(value: int) -> bytes:
    if value < _MORE:
        return bytes((value,))
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
