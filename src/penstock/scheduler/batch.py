"""Merge and split: many requests into one batch and back, inverse by law. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from penstock.core.errors import InvalidInput, MalformedAnswer
from penstock.core.messages import InferRequest
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Array, Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.scheduler.padding import Padding

Tensors: TypeAlias = tuple[Tensor, ...]


class Member(msgspec.Struct, frozen=True):
    """One request's place in a batch.

    Attributes:
        rows: rows it brought.
        length: size of its padded axis before padding; -1: it was not padded.
        first_row: where its rows begin in the request, when it is a part of a larger one;
            -1: it is the whole request.
    """

    rows: int
    length: int = -1
    first_row: int = -1


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


def cut(request: InferRequest, rows: int, max_rows: int) -> Iterator[tuple[int, InferRequest]]:
    """The parts of an oversized request: where each begins, and its rows as views."""
    for start in range(0, rows, max_rows):
        yield (
            start,
            InferRequest(
                request.model,
                tuple(tensor.rows(start, start + max_rows) for tensor in request.inputs),
                parameters=request.parameters,
                priority=request.priority,
                timeline=request.timeline,
            ),
        )


def select(outputs: Tensors, names: Sequence[str]) -> Tensors:
    """The outputs of these names, in their order."""
    by_name = {tensor.name: tensor for tensor in outputs}
    return tuple(by_name[name] for name in names)


def join(parts: Sequence[Tensors]) -> Tensors:
    """The answers to the parts of one oversized request as one.

    Raises:
        MalformedAnswer: the parts differ in more than their rows, which no tensor can hold.
    """
    try:
        return merge(parts)
    except ValueError as err:
        raise MalformedAnswer(
            "the model answered the parts of a request larger than its batches in different "
            "shapes; send fewer rows at once"
        ) from err


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
        MalformedAnswer: an output's leading dimension is not the number of valid rows, an output is
            missing or of another datatype, or a row was refused that nobody brought.

    Source: Open Inference Protocol, "Inference Response JSON Object".
    """
    total = members[0].rows if len(members) == 1 else sum(member.rows for member in members)
    if result.invalid:
        if not signature.batched:
            return [InvalidInput(0, next(iter(result.invalid.values())).reason)]
        foreign = [row for row in result.invalid if not 0 <= row < total]
        if foreign:
            raise MalformedAnswer(f"the model refused row {foreign[0]} of a batch of {total} rows")
    check_outputs(result, signature, total - len(result.invalid))
    if len(members) == 1 and not result.invalid and padding is None:
        return [result.outputs]
    outcomes: list[Tensors | InvalidInput] = []
    row = kept = 0
    for member in members:
        refused = _first_refused(result.invalid, row, member)
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
        MalformedAnswer: names the output, what was expected and what came.
    """
    if not result.outputs and result.invalid:
        return
    if len(result.outputs) != len(signature.outputs):
        raise _wrong_outputs(result, signature)
    for spec, tensor in zip(signature.outputs, result.outputs, strict=True):
        shape = tensor.array.shape
        if tensor.name != spec.name:
            raise _wrong_outputs(result, signature)
        if tensor.dtype is not spec.dtype or not spec.accepts(shape):
            raise MalformedAnswer(
                f"the model answered output '{spec.name}' as {tensor.dtype} {list(shape)}, "
                f"expected {spec.dtype} {list(spec.shape)}"
            )
        if signature.batched and shape[0] != rows:
            raise MalformedAnswer(
                f"the model answered {shape[0]} rows in output '{spec.name}', expected {rows}"
            )


def _wrong_outputs(result: ExecuteResult, signature: ModelSignature) -> MalformedAnswer:
    return MalformedAnswer(
        f"the model answered the outputs {[t.name for t in result.outputs]}, "
        f"expected {[s.name for s in signature.outputs]}"
    )


def _stack(name: str, arrays: list[Array], padding: Padding | None) -> Array:
    if padding is not None and name in padding.inputs:
        return padding.stack(arrays)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _first_refused(
    invalid: Mapping[int, InvalidInput], start: int, member: Member
) -> InvalidInput | None:
    for row in range(start, start + member.rows) if invalid else ():
        if row in invalid:
            index = row - start + max(member.first_row, 0)
            where = f"row {index}: " if member.rows > 1 or member.first_row >= 0 else ""
            return InvalidInput(index, where + invalid[row].reason)
    return None


def _cut(tensor: Tensor, length: int, padding: Padding | None) -> Tensor:
    if padding is None or length < 0:
        return tensor
    return padding.cut(tensor, length)
