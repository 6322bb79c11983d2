"""Tensors as short JSON text, for a person who looks at an example. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor

MAX_CHARACTERS = 400
"""The longest text; what is longer ends in ``...``."""

_MAX_ELEMENTS = 100
_MAX_ITEM_BYTES = 200


def tensors_text(tensors: Iterable[Tensor], row: int, rows: int) -> str:
    """Tensors as a JSON object of flat lists, by name, cut to ``MAX_CHARACTERS``.

    Args:
        tensors: the tensors.
        row: which row is looked at, from 0.
        rows: how many there are; a tensor whose first dimension is another is told whole.
    """
    told = {tensor.name: _values(tensor, row, rows) for tensor in tensors}
    text = json.dumps(told, ensure_ascii=False)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."


def _values(tensor: Tensor, row: int, rows: int) -> list[object]:
    array = tensor.array
    if array.ndim and len(array) == rows:
        array = array[row : row + 1]
    first = array.reshape(-1)[:_MAX_ELEMENTS]
    if tensor.dtype is DType.BYTES:
        return [item[:_MAX_ITEM_BYTES].decode("utf-8", "replace") for item in first.tolist()]
    if tensor.dtype is DType.BF16:
        first = (first.astype(np.uint32) << 16).view(np.float32)
    if tensor.dtype.is_float:
        return [float(f"{value:.6g}") for value in first.tolist()]
    items: list[object] = first.tolist()
    return items
