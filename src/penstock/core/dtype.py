"""Tensor datatypes and their names: Open Inference, numpy."""

from __future__ import annotations

import enum

import numpy as np

_NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BF16": "<u2",
    "BYTES": "O",
}


class DType(enum.StrEnum):
    """An Open Inference datatype. The value is the protocol's own name.

    ``BYTES`` elements are variable-length byte strings, held in numpy object arrays of ``bytes``.
    ``BF16`` has no numpy type: it is held as its bit pattern in ``uint16``.

    Source: Open Inference Protocol, "Tensor Data Types"; BF16 after Triton's extension.
    """

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BF16 = "BF16"
    BYTES = "BYTES"

    numpy: np.dtype
    """The numpy dtype that holds the elements, little-endian."""

    itemsize_bytes: int
    """Bytes per element on the wire; 0 for BYTES, whose elements vary."""

    def __init__(self, _name: str) -> None:
        self.numpy = np.dtype(_NUMPY[_name])
        self.itemsize_bytes = 0 if _name == "BYTES" else self.numpy.itemsize

    @property
    def is_integer(self) -> bool:
        """True for the signed and unsigned integer types."""
        return self.numpy.kind in "iu" and self is not DType.BF16

    @property
    def is_float(self) -> bool:
        """True for FP16, FP32, FP64 and BF16."""
        return self.numpy.kind == "f" or self is DType.BF16

    @classmethod
    def from_numpy(cls, dtype: np.dtype) -> DType | None:
        """The datatype that holds arrays of this numpy dtype; None: there is none.

        Object, str and bytes arrays are BYTES. ``uint16`` is UINT16, never BF16.
        """
        if dtype.kind in "OSU":
            return cls.BYTES
        return _BY_DTYPE.get(dtype) or _BY_CODE.get(dtype.str[1:])


_BY_DTYPE = {d.numpy: d for d in DType if d not in (DType.BF16, DType.BYTES)}
"""Found much faster than by code; but not for every alias, nor the other byte order."""
_BY_CODE = {dtype.str[1:]: d for dtype, d in _BY_DTYPE.items()}
