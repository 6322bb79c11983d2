"""Raw tensor bytes to tensors, with the protocol's texts."""

from __future__ import annotations

import math

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Tensor


def from_raw(
    model: str, name: str, dtype: DType, shape: tuple[int, ...], buffer: bytes | memoryview
) -> Tensor:
    """View little-endian, row-major bytes as an input tensor; only BYTES is copied.

    The array may lie at any address: ``array.flags.aligned`` can be False.

    Args:
        model: the model's name, for messages.
        name: the input's name.
        dtype: its datatype.
        shape: its shape, already checked.
        buffer: its bytes.

    Raises:
        InvalidArgument: the number of bytes does not fit the shape, a BYTES element is cut off,
            or a BOOL element is neither 0 nor 1.
    """
    if dtype is DType.BYTES:
        return Tensor.from_buffer(name, dtype, shape, buffer)
    expected = dtype.itemsize_bytes * math.prod(shape)
    if len(buffer) != expected:
        raise InvalidArgument(
            f"input byte size mismatch for input '{name}' for model '{model}'. "
            f"Expected {expected}, got {len(buffer)}"
        )
    if not expected:
        return Tensor(name, dtype, np.empty(shape, dtype.numpy))
    array = np.frombuffer(buffer, dtype.numpy).reshape(shape)
    if dtype is DType.BOOL and (highest := int(array.view(np.uint8).max())) > 1:
        raise InvalidArgument(
            f"input '{name}' for model '{model}': BOOL elements are bytes 0 or 1, got {highest}"
        )
    return Tensor(name, dtype, array)
