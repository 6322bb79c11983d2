"""RowRule: what a row of a job is to a model, whether it takes batches or not. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.scheduler.batch import Tensors


class Piece(msgspec.Struct, frozen=True):
    """What one execution is given.

    Attributes:
        start: the first of its rows.
        rows: how many rows of the job it holds; what follows them only fills up.
        inputs: tensors as the model takes them.
    """

    start: int
    rows: int
    inputs: Tensors


class RowRule(msgspec.Struct, frozen=True):
    """How rows become executions.

    A model that batches takes any number of rows, or as many as its manifest's
    ``max_batch_size`` says. One that was exported for exactly ``n`` rows (the first dimension of
    every tensor is the same fixed number) is given ``n`` at a time, its last piece filled up with
    copies of the last row. Any other takes one row an execution, and a row is the whole of
    its tensors.

    Attributes:
        model: the model's own signature.
        signature: the same as jobs see it: every tensor ``[rows, ...]``.
        limit: the most rows of one execution; 0: there is no limit.
        is_exact: whether an execution takes exactly ``limit`` rows.
        is_single: whether an execution takes one row without the axis of rows.
    """

    model: ModelSignature
    signature: ModelSignature
    limit: int = 0
    is_exact: bool = False
    is_single: bool = False

    @classmethod
    def of(cls, model: ModelSignature, max_batch_size: int | None) -> RowRule:
        """The rule of a model.

        Args:
            model: its signature.
            max_batch_size: as its manifest says; None: it says nothing.
        """
        if model.batched:
            return cls(model, model, max_batch_size or 0)
        fixed = _fixed_rows(model)
        if fixed == 1 or (fixed and max_batch_size is None):
            return cls(model, _with_rows(model, skip=1), fixed, is_exact=True)
        return cls(model, _with_rows(model, skip=0), 1, is_single=True)

    def pieces(self, inputs: Tensors, rows: int) -> Iterator[Piece]:
        """The executions that rows need, in order.

        Args:
            inputs: tensors that fit ``signature``, ``[rows, ...]`` each.
            rows: how many, >= 1.
        """
        if not self.limit or (rows <= self.limit and not self.is_exact and not self.is_single):
            yield Piece(0, rows, inputs)
            return
        for start in range(0, rows, self.limit):
            stop = min(start + self.limit, rows)
            tensors = tuple(tensor.rows(start, stop) for tensor in inputs)
            if self.is_single:
                tensors = tuple(Tensor(t.name, t.dtype, t.array[0]) for t in tensors)
            elif self.is_exact and stop - start < self.limit:
                tensors = tuple(_filled(tensor, self.limit) for tensor in tensors)
            yield Piece(start, stop - start, tensors)

    def rows_of(self, outputs: Tensors, piece: Piece) -> Tensors:
        """The outputs of a piece as ``[its rows, ...]``, what was filled up taken off."""
        if self.is_single:
            return tuple(Tensor(t.name, t.dtype, t.array[np.newaxis]) for t in outputs)
        if self.is_exact and piece.rows < self.limit:
            return tuple(tensor.rows(0, piece.rows) for tensor in outputs)
        return outputs


def no_rows(signature: ModelSignature) -> Tensors:
    """The outputs of no rows at all; free dimensions are 0."""
    return tuple(
        Tensor(spec.name, spec.dtype, np.empty((0, *_sizes(spec)), spec.dtype.numpy))
        for spec in signature.outputs
    )


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(max(dim, 0) for dim in spec.shape[1:])


def _fixed_rows(model: ModelSignature) -> int:
    """The first dimension that all tensors share; 0: they share none that is fixed."""
    first = {spec.shape[0] if spec.shape else 0 for spec in (*model.inputs, *model.outputs)}
    return max(0, first.pop()) if len(first) == 1 else 0


def _with_rows(model: ModelSignature, *, skip: int) -> ModelSignature:
    """A signature with an axis of rows in place of the first ``skip`` dimensions."""

    def spec_of(spec: TensorSpec) -> TensorSpec:
        names = ("", *spec.dim_names[skip:]) if spec.dim_names else ()
        shape = (-1, *spec.shape[skip:])
        return msgspec.structs.replace(spec, shape=shape, dim_names=names)

    return ModelSignature(tuple(map(spec_of, model.inputs)), tuple(map(spec_of, model.outputs)))


def _filled(tensor: Tensor, rows: int) -> Tensor:
    array = tensor.array
    last = np.repeat(array[-1:], rows - array.shape[0], axis=0)
    return Tensor(tensor.name, tensor.dtype, np.concatenate((array, last)))
