"""Text inputs: BYTES as ``str``, and the one refusal of what is no text, whatever the runtime."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput
from penstock.core.tensor import Array, Tensor, object_array


def elements(tensor: Tensor) -> Array:
    """A tensor's array, with BYTES as ``str``.

    Raises:
        InvalidInput: an element is not UTF-8; names the first row that has one.
    """
    if tensor.dtype is not DType.BYTES:
        return tensor.array
    items = tensor.array.reshape(-1).tolist()
    try:
        return object_array([item.decode() for item in items]).reshape(tensor.shape)
    except UnicodeDecodeError:
        read = read_texts(tensor.name, items)
        bad = next(at for at, text in enumerate(read) if isinstance(text, InvalidInput))
        rows = tensor.shape[0] if tensor.shape else 1
        raise not_text(tensor.name, bad * rows // len(items)) from None


def read_texts(name: str, items: Sequence[bytes]) -> list[str | InvalidInput]:
    """The rows of an input of one text each; the refusal in the place of one that is not UTF-8.

    Args:
        name: the input's.
        items: one for each row.
    """
    try:
        return [item.decode() for item in items]
    except UnicodeDecodeError:
        return [_text(name, row, item) for row, item in enumerate(items)]


def not_text(name: str, row: int) -> InvalidInput:
    """The refusal of a row. Which row it is of the request is said where batches are split."""
    return InvalidInput(row, f"input '{name}': expected UTF-8 text, got other bytes")


def _text(name: str, row: int, item: bytes) -> str | InvalidInput:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return not_text(name, row)
