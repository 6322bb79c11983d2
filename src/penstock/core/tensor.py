"""Tensor: a named, typed, shaped block of elements, checked when it is built."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument

Array = NDArray[Any]

_MAX_ELEMENTS = 2**40
_MAX_DIMS = 32  # numpy 1's own limit


class Tensor:
    """A named tensor. Immutable by convention; the array may be a view of a received buffer.

    Attributes:
        name: the tensor's name, non-empty.
        dtype: the Open Inference datatype.
        array: C-contiguous or not, ``array.dtype == dtype.numpy``; BYTES is an object array of
            ``bytes``; BF16 is its bit pattern in uint16.
    """

    __slots__ = ("array", "dtype", "name")

    def __init__(self, name: str, dtype: DType, array: Array) -> None:
        """Wrap an array without copying it.

        Raises:
            InvalidArgument: the array's numpy dtype is not the datatype's.
        """
        if array.dtype != dtype.numpy:
            raise InvalidArgument(
                f"tensor '{name}': {dtype} is held in numpy {dtype.numpy}, got {array.dtype}"
            )
        self.name = name
        self.dtype = dtype
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions; ``()`` for a scalar."""
        return self.array.shape

    @property
    def num_bytes(self) -> int:
        """Bytes the elements take: exact for fixed-size types, payload plus length for BYTES."""
        if self.dtype is DType.BYTES:
            return sum(len(item) + 4 for item in self.array.reshape(-1).tolist())
        return self.array.nbytes

    @classmethod
    def from_array(cls, name: str, array: Array) -> Tensor:
        """Wrap any numpy array, converting byte order and text where its dtype asks for it.

        Raises:
            InvalidArgument: no datatype holds arrays of this numpy dtype.
        """
        dtype = DType.from_numpy(array.dtype)
        if dtype is None:
            raise InvalidArgument(
                f"tensor '{name}': no Open Inference datatype holds numpy {array.dtype}"
            )
        if dtype is DType.BYTES:
            return cls(name, dtype, bytes_array(array))
        return cls(name, dtype, array.astype(dtype.numpy, copy=False))

    @classmethod
    def from_buffer(
        cls, name: str, dtype: DType, shape: tuple[int, ...], buffer: bytes | memoryview
    ) -> Tensor:
        """View a little-endian, row-major buffer as a tensor; only BYTES is copied.

        Args:
            name: the tensor's name.
            dtype: the datatype of the elements.
            shape: the dimensions, each >= 0.
            buffer: the raw bytes; BYTES elements are each a uint32 length and the bytes.

        Raises:
            InvalidArgument: the buffer's size does not fit the shape; names both sizes.

        Source: Open Inference Protocol, "Binary Tensor Data Extension".
        """
        count = count_elements(name, shape)
        if dtype is DType.BYTES:
            return cls(name, dtype, _split_bytes(name, buffer, count).reshape(shape))
        expected = count * dtype.itemsize_bytes
        if len(buffer) != expected:
            raise InvalidArgument(
                f"input byte size mismatch for input '{name}'. "
                f"Expected {expected}, got {len(buffer)}"
            )
        return cls(name, dtype, np.frombuffer(buffer, dtype.numpy).reshape(shape))

    def to_buffer(self) -> bytes | memoryview:
        """The elements as little-endian, row-major bytes; a view where no copy is needed."""
        if self.dtype is DType.BYTES:
            return _join_bytes(self.array)
        array = np.ascontiguousarray(self.array)
        return array.data.cast("B") if array.size else b""

    def rows(self, start: int, stop: int) -> Tensor:
        """The tensor's rows ``[start, stop)`` as a view."""
        return Tensor(self.name, self.dtype, self.array[start:stop])

    def renamed(self, name: str) -> Tensor:
        """The same elements under another name, not copied."""
        return Tensor(name, self.dtype, self.array)

    def __eq__(self, other: object) -> bool:
        """Bit-for-bit equality: NaN equals NaN of the same bits, 0.0 differs from -0.0."""
        if not isinstance(other, Tensor):
            return NotImplemented
        return (
            self.name == other.name
            and self.dtype is other.dtype
            and self.shape == other.shape
            and bytes(self.to_buffer()) == bytes(other.to_buffer())
        )

    __hash__ = None  # type: ignore[assignment]  # mutable contents

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.dtype}, {list(self.shape)})"


def count_elements(name: str, shape: tuple[int, ...]) -> int:
    """The number of elements of a shape.

    Raises:
        InvalidArgument: a dimension is negative, there are too many, or their product (those of 0
            left out) is beyond any memory.
    """
    if len(shape) > _MAX_DIMS:
        raise InvalidArgument(
            f"input '{name}': 'shape' has {len(shape)} dimensions, more than the limit of "
            f"{_MAX_DIMS}"
        )
    for dim in shape:
        if dim < 0:
            raise InvalidArgument(
                f"input '{name}': every dimension of 'shape' must be >= 0, got {list(shape)}"
            )
    count = math.prod(dim or 1 for dim in shape)
    if count > _MAX_ELEMENTS:
        raise InvalidArgument(
            f"input '{name}': shape {list(shape)} holds {count} elements, "
            f"more than the limit of {_MAX_ELEMENTS}"
        )
    return 0 if 0 in shape else count


def cast_safely(array: Array, dtype: np.dtype) -> Array | None:
    """The array as ``dtype`` where that keeps the kind of number; None: it would not.

    Integers become floats and floats may lose digits; a float never becomes an integer, a signed
    array never an unsigned one. An array without elements fits anything.

    Source: NumPy, "Casting", ``same_kind``.
    """
    if array.dtype == dtype:
        return array
    if array.size and not np.can_cast(array.dtype, dtype, "same_kind"):
        return None
    return array.astype(dtype)


def cast_values(values: Any, dtype: np.dtype) -> Array | None:
    """Numbers or nested lists of them as an array of ``dtype``; None: they are of another kind.

    As ``cast_safely``; besides, lists of integers that are all within the range of an unsigned
    type fit it: a list declares no type of its own.
    """
    array = np.asarray(values)
    if (
        dtype.kind == "u"
        and array.dtype.kind == "i"
        and array.size
        and not hasattr(values, "dtype")
    ):
        fits = array.min() >= 0 and array.max() <= np.iinfo(dtype).max
        return array.astype(dtype) if fits else None
    return cast_safely(array, dtype)


def bytes_array(values: Array) -> Array:
    """An object array of ``bytes`` from one of text, bytes or numpy strings; text becomes UTF-8.

    Raises:
        InvalidArgument: an element is neither text nor bytes.
    """
    flat = [_as_bytes(item) for item in values.reshape(-1).tolist()]
    return object_array(flat).reshape(values.shape)


def object_array(items: list[Any]) -> Array:
    """A 1-D object array of these items, each left as it is."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _as_bytes(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    raise InvalidArgument(f"BYTES elements are text or bytes, got {type(item).__name__}")


def _split_bytes(name: str, buffer: bytes | memoryview, count: int) -> Array:
    view = memoryview(buffer)
    size, offset = len(view), 0
    items: list[bytes] = []
    while offset < size and len(items) <= count:
        if offset + 4 > size:
            raise InvalidArgument(
                f"incomplete string length indicator for inference input '{name}': "
                f"expected 4 bytes at offset {offset}, got {size - offset}"
            )
        length = int.from_bytes(view[offset : offset + 4], "little")
        offset += 4
        if offset + length > size:
            raise InvalidArgument(
                f"incomplete string data for inference input '{name}': "
                f"expected a string of {length} bytes at offset {offset}, got {size - offset}"
            )
        items.append(bytes(view[offset : offset + length]))
        offset += length
    if len(items) != count:
        got = f"more than {count}" if len(items) > count else str(len(items))
        raise InvalidArgument(
            f"expected {count} string elements for inference input '{name}', got {got}"
        )
    return object_array(items)


def _join_bytes(array: Array) -> bytes:
    parts: list[bytes] = []
    for item in array.reshape(-1).tolist():
        parts.append(len(item).to_bytes(4, "little"))
        parts.append(item)
    return b"".join(parts)
