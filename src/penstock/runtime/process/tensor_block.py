"""Tensors to the heads and bytes of a frame, and back: large ones through a shared segment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from penstock.core.dtype import DType
from penstock.core.tensor import Array, Tensor, object_array
from penstock.runtime.process.frame import BadFrame, TensorHead

SHARED_MIN_BYTES: Final = 64 * 1024
"""Tensors of at least so many bytes go through shared memory, where there is any."""

_ALIGNMENT = 64

_encode_items = msgspec.msgpack.Encoder().encode
_decode_items = msgspec.msgpack.Decoder(list[bytes]).decode


class Packed(NamedTuple):
    """Tensors ready to be sent.

    Attributes:
        heads: one for each tensor.
        parts: the bytes of those that go in the body, in order.
        num_bytes: of all parts.
    """

    heads: list[TensorHead]
    parts: list[bytes | memoryview]
    num_bytes: int


def shared_bytes(tensors: Iterable[Tensor]) -> int:
    """How large a segment must be for all tensors worth sharing; 0: there are none."""
    return sum(_aligned(t.array.nbytes) for t in tensors if _is_shared(t))


def pack(tensors: Sequence[Tensor], segment: Array | None) -> Packed:
    """Copy large tensors into the segment, and take the bytes of the others as they are.

    Args:
        tensors: what to send.
        segment: ``[bytes] uint8`` to write to, of at least ``shared_bytes(tensors)``; None: all go
            in the body.
    """
    heads: list[TensorHead] = []
    parts: list[bytes | memoryview] = []
    body_bytes = offset = 0
    for tensor in tensors:
        array = tensor.array
        shape = array.shape
        if segment is not None and _is_shared(tensor):
            size = array.nbytes
            np.copyto(segment[offset : offset + size].view(array.dtype).reshape(shape), array)
            heads.append(TensorHead(tensor.name, tensor.dtype, shape, size, offset))
            offset += _aligned(size)
            continue
        part = (
            _encode_items(array.reshape(-1).tolist()) if _is_bytes(tensor) else tensor.to_buffer()
        )
        heads.append(TensorHead(tensor.name, tensor.dtype, shape, len(part)))
        parts.append(part)
        body_bytes += len(part)
    return Packed(heads, parts, body_bytes)


def unpack(
    heads: Iterable[TensorHead], body: memoryview, segment: Array | None
) -> tuple[Tensor, ...]:
    """The tensors of a frame; all but BYTES are views of the body or the segment, read-only.

    Raises:
        BadFrame: a head names bytes that are not there.
    """
    tensors: list[Tensor] = []
    start = 0
    for head in heads:
        size = head.num_bytes
        if head.offset < 0:
            part: Array | memoryview = body[start : start + size]
            start += size
        elif segment is None:
            raise BadFrame(f"tensor '{head.name}' is in a segment that is not there")
        else:
            part = segment[head.offset : head.offset + size]
        if len(part) != size:
            raise BadFrame(f"tensor '{head.name}' is cut off")
        tensors.append(_tensor(head, part))
    return tuple(tensors)


def _tensor(head: TensorHead, part: Array | memoryview) -> Tensor:
    try:
        dtype = DType(head.dtype)
        if dtype is DType.BYTES:
            array = object_array(_decode_items(_view(part))).reshape(head.shape)
        else:
            view = np.frombuffer(part, np.uint8) if isinstance(part, memoryview) else part
            array = view.view(dtype.numpy).reshape(head.shape)
            array.flags.writeable = False
    except (ValueError, msgspec.DecodeError) as err:
        raise BadFrame(f"tensor '{head.name}': {err}") from err
    return Tensor(head.name, dtype, array)


def _view(part: Array | memoryview) -> memoryview:
    return part if isinstance(part, memoryview) else part.data


def _is_bytes(tensor: Tensor) -> bool:
    return tensor.dtype is DType.BYTES


def _is_shared(tensor: Tensor) -> bool:
    return tensor.array.nbytes >= SHARED_MIN_BYTES and not _is_bytes(tensor)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
