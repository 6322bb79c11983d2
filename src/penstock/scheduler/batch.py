"""Merge and split: many requests into one batch and back, inverse by law. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from penstock.core.errors import InvalidInput, ModelFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.scheduler.padding import Padding

Tensors: TypeAlias = tuple[Tensor, ...]


class Member(NamedTuple):
    """One request's place in a batch.

    Attributes:
        rows: rows it brought.
        length: size of its padded axis before padding; -1: it was not padded.
    """

    rows: int
    length: int = -1


def merge(requests: Sequence[Tensors], padding: Padding | None = None) -> Tensors:
    """Lay requests' tensors one below the other.

    Args:
        requests: tensors of each request, the same names in each, in any order; shapes equal
            but for the first dimension and the padded axis.
        padding: how to bring the padded axis to one size; None: nothing is padded.

    Returns:
        one tensor per name, ``[sum of rows, ...]``; the request's own tensors where there is
        one request and nothing to pad.
    """
    if len(requests) == 1 and padding is None:
        return requests[0]
    by_name = [{tensor.name: tensor for tensor in tensors} for tensors in requests]
    return tuple(
        Tensor(
            first.name,
            first.dtype,
            _stack(first.name, [tensors[first.name].array for tensors in by_name], padding),
        )
        for first in requests[0]
    )


def split(
    result: ExecuteResult,
    members: Sequence[Member],
    signature: ModelSignature,
    padding: Padding | None = None,
) -> list[Tensors | InvalidInput]:
    """Cut a batch's outputs back into one outcome per request.

    Law: ``split(identity(merge(requests)))`` gives each request's tensors back, bit for bit.

    Args:
        result: outputs of ``[valid rows, ...]`` each, and the refused rows.
        members: the requests in merge order.
        signature: what the model promised.
        padding: what ``merge`` was given.

    Returns:
        ``len(members)`` outcomes; buffers are views. A request with a refused row gets the first
        refusal, its index counted within the request.

    Raises:
        ModelFailed: an output's leading dimension is not the number of valid rows, or an output
            is missing or of another datatype.

    Source: Open Inference Protocol, "Inference Response JSON Object".
    """
    total = sum(member.rows for member in members)
    check_outputs(result, signature, total - len(result.invalid))
    if len(members) == 1 and not result.invalid and padding is None:
        return [result.outputs]
    outcomes: list[Tensors | InvalidInput] = []
    row = kept = 0
    for member in members:
        refused = _first_refused(result.invalid, row, member.rows)
        valid = member.rows - sum(r in result.invalid for r in range(row, row + member.rows))
        if refused is not None:
            outcomes.append(refused)
        else:
            outcomes.append(
                tuple(
                    _cut(tensor.rows(kept, kept + valid), member.length, padding)
                    for tensor in result.outputs
                )
            )
        row += member.rows
        kept += valid
    return outcomes


def check_outputs(result: ExecuteResult, signature: ModelSignature, rows: int) -> None:
    """See that a model kept its promise.

    Args:
        result: what it answered.
        signature: what it promised.
        rows: the rows each output must have, where the model batches.

    Raises:
        ModelFailed: names the output, what was expected and what came.
    """
    if not result.outputs and result.invalid:
        return
    for spec, tensor in _pairs(signature, result.outputs):
        shape = tensor.array.shape
        if tensor.dtype is not spec.dtype or not spec.accepts(shape):
            raise ModelFailed(
                f"the model answered output '{spec.name}' as {tensor.dtype} {list(shape)}, "
                f"expected {spec.dtype} {list(spec.shape)}"
            )
        if signature.batched and shape[0] != rows:
            raise ModelFailed(
                f"the model answered {shape[0]} rows in output '{spec.name}', expected {rows}"
            )


def _pairs(signature: ModelSignature, outputs: Tensors) -> Sequence[tuple[TensorSpec, Tensor]]:
    if [t.name for t in outputs] != [s.name for s in signature.outputs]:
        raise ModelFailed(
            f"the model answered the outputs {[t.name for t in outputs]}, "
            f"expected {[s.name for s in signature.outputs]}"
        )
    return list(zip(signature.outputs, outputs, strict=True))


def _stack(name: str, arrays: list[Array], padding: Padding | None) -> Array:
    if padding is not None and name in padding.inputs:
        return padding.stack(arrays)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _first_refused(
    invalid: Mapping[int, InvalidInput], start: int, rows: int
) -> InvalidInput | None:
    for row in range(start, start + rows) if invalid else ():
        if row in invalid:
            where = f"row {row - start}: " if rows > 1 else ""
            return InvalidInput(row - start, where + invalid[row].reason)
    return None


def _cut(tensor: Tensor, length: int, padding: Padding | None) -> Tensor:
    if padding is None or length < 0:
        return tensor
    return padding.cut(tensor, length)
