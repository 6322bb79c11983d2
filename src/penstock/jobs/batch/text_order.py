"""In which order rows are given to a model that takes text: those of like length together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Array, Tensor


def takes_text(signature: ModelSignature) -> bool:
    """Whether a model's rows are texts that may be given in another order.

    Models of text pad a batch to its longest row, so that rows of like length cost less. Answers
    whose shape is free stay as they came: they could not be laid one below the other again.
    """
    is_text = any(spec.dtype is DType.BYTES for spec in signature.inputs)
    return is_text and all(-1 not in spec.shape[1:] for spec in signature.outputs)


def shortest_first(tensors: Sequence[Tensor]) -> Array:
    """Places of the rows, int64 ``[rows]``, by the bytes of their text; equal ones as they came."""
    rows = len(tensors[0].array)
    sizes = np.zeros(rows, dtype=np.int64)
    for one in tensors:
        if one.dtype is DType.BYTES:
            flat = one.array.reshape(-1)
            lengths = np.fromiter(map(len, flat), np.int64, flat.size)
            sizes += lengths.reshape(rows, flat.size // max(rows, 1)).sum(axis=1)
    return np.argsort(sizes, kind="stable")
