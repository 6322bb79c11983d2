"""The classification extension: an output replaced by its best classes."""

from __future__ import annotations

import math

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.dialects.open_inference.reply import ReplyOptions

_REFUSED = (DType.BYTES, DType.BOOL, DType.FP16, DType.BF16)
_MAX_ELEMENTS = 1_000_000


def classify(
    response: InferResponse, reply: ReplyOptions, signature: ModelSignature
) -> InferResponse:
    """Replace the outputs that the request wants classified; the others are left as they are.

    Each row of such an output becomes its ``min(K, classes)`` best classes, highest score first
    (NaN last, ties by index), as BYTES ``<score>:<index>`` or, where the signature names the
    classes, ``<score>:<index>:<label>``. The score has 6 decimals. The shape is ``[rows, k]``
    where the model batches, else ``[k]``.

    Args:
        response: the answer; not changed.
        reply: which outputs, and how many classes of each.
        signature: of the version that answered, for labels and batching.

    Raises:
        InvalidArgument: the output's datatype has no order, or it has too many elements.

    Source: Triton, "Classification Extension".
    """
    outputs = tuple(
        _best(tensor, count, signature.output(tensor.name), signature.batched)
        if (count := reply.outputs[tensor.name].classes if tensor.name in reply.outputs else 0)
        else tensor
        for tensor in response.outputs
    )
    return InferResponse(
        response.model, response.version, outputs, response.id, response.parameters
    )


def _best(tensor: Tensor, count: int, spec: TensorSpec | None, batched: bool) -> Tensor:
    if tensor.dtype in _REFUSED:
        raise InvalidArgument(
            f"class result not available for output '{tensor.name}' due to unsupported type "
            f"{tensor.dtype}"
        )
    if tensor.array.size > _MAX_ELEMENTS:
        raise InvalidArgument(
            f"class result not available for output '{tensor.name}': it has "
            f"{tensor.array.size} elements, at most {_MAX_ELEMENTS}"
        )
    by_row = batched and tensor.array.ndim > 0
    rows = tensor.shape[0] if by_row else 1
    classes = math.prod(tensor.shape[1:]) if by_row else tensor.array.size
    kept = min(count, classes)
    labels = spec.labels if spec is not None else ()
    texts = [
        _text(row[index].item(), index, labels)
        for row in tensor.array.reshape(rows, classes)
        for index in _order(row)[:kept]
    ]
    shape = (rows, kept) if by_row else (kept,)
    return Tensor(tensor.name, DType.BYTES, object_array(texts).reshape(shape))


def _order(row: Array) -> list[int]:
    """The positions from the highest to the lowest score, NaN last, equal ones in order."""
    keys = -row if row.dtype.kind == "f" else ~row
    positions: list[int] = np.argsort(keys, kind="stable").tolist()
    return positions


def _text(score: float, index: int, labels: tuple[str, ...]) -> bytes:
    text = f"{score:.6f}:{index}" if isinstance(score, float) else f"{score}:{index}"
    return (f"{text}:{labels[index]}" if index < len(labels) else text).encode()
