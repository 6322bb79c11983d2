"""The checks of a tensor's name, datatype and shape, before a byte of it is read."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import count_elements
from penstock.dialects.open_inference.json_text import show
from penstock.dialects.open_inference.limits import DecodeLimits

_DTYPES = {str(dtype): dtype for dtype in DType}


def read_dtype(name: str, text: str) -> DType:
    """The datatype of an input.

    Raises:
        InvalidArgument: the protocol knows no datatype of this name.
    """
    dtype = _DTYPES.get(text)
    if dtype is None:
        raise InvalidArgument(
            f"inference input '{name}' has the invalid data-type {show(text)}, "
            f"expected one of {', '.join(_DTYPES)}"
        )
    return dtype


def check_shape(name: str, shape: tuple[int, ...], limits: DecodeLimits) -> int:
    """The number of elements of an input.

    Raises:
        InvalidArgument: a dimension is negative, there are too many of them, or their product
            is beyond any memory (zero dimensions left aside).
    """
    count = count_elements(name, shape)
    if len(shape) > limits.max_dims:
        raise InvalidArgument(
            f"input '{name}': 'shape' has {len(shape)} dimensions, at most {limits.max_dims}"
        )
    if count == 0:
        count_elements(name, tuple(dim for dim in shape if dim))
    return count


def check_unique(kind: str, names: Iterable[str]) -> None:
    """Raise InvalidArgument where a name comes twice.

    Args:
        kind: ``input`` or ``output``, for the message.
        names: the names in the request.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidArgument(f"{kind} '{name}' already exists in request")
        seen.add(name)
