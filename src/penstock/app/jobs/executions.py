"""Executions: rows of a job through one copy of a model, and what came of each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from penstock.app.jobs.row_rule import Piece, RowRule, no_rows
from penstock.core.errors import InvalidInput, MalformedAnswer
from penstock.core.ids import ServableId
from penstock.core.tensor import Tensor
from penstock.runtime.executable import NO_ROWS_INVALID, ExecuteResult
from penstock.scheduler.batch import Tensors, check_outputs, join, merge
from penstock.scheduler.padding import Padding

Run: TypeAlias = Callable[[Tensors], ExecuteResult]
"""Computes one batch; raises what is wrong with all of it."""


class Executions:
    """Computes rows; no queue, no neighbours.

    Law: what comes of rows depends on these rows alone.

    Args:
        id: the version.
        rule: what a row is to it.
        padding: the manifest's; None: nothing is padded.
        run: computes one batch.

    Concurrency: blocks; one thread at a time.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        rule: RowRule,
        padding: Padding | None,
        run: Run,
    ) -> None:
        self._id = id
        self._rule = rule
        self._padding = padding
        self._run = run

    def predict(self, inputs: Tensors) -> ExecuteResult:
        """See ``jobs.Predictor.predict``."""
        rows = self._rule.signature.check(self._id.name, inputs)
        if rows == 0:
            return ExecuteResult(no_rows(self._rule.signature))
        pieces = list(self._rule.pieces(inputs, rows))
        if len(pieces) == 1:
            return self._piece(pieces[0])
        return self._joined(pieces, [self._piece(piece) for piece in pieces])

    def _joined(self, pieces: Sequence[Piece], results: Sequence[ExecuteResult]) -> ExecuteResult:
        outputs = [result.outputs for result in results if result.outputs[0].shape[0]]
        invalid = {
            piece.start + row: error
            for piece, result in zip(pieces, results, strict=True)
            for row, error in result.invalid.items()
        }
        joined = join(outputs) if outputs else no_rows(self._rule.signature)
        return ExecuteResult(joined, invalid or NO_ROWS_INVALID)

    def _piece(self, piece: Piece) -> ExecuteResult:
        """One piece, without the rows that the model refuses."""
        result = self._padded(piece.inputs)
        if result.invalid:
            return self._without_refused(piece, result)
        self._check(result, piece.inputs, 0)
        return ExecuteResult(self._rule.rows_of(result.outputs, piece))

    def _without_refused(self, piece: Piece, result: ExecuteResult) -> ExecuteResult:
        """What is left of a piece some of whose rows were refused.

        A model that raised for a row has computed none: it is asked again for the others.
        """
        kept = list(range(piece.rows))
        invalid: dict[int, InvalidInput] = {}
        while result.invalid:
            refused = self._refused(piece, result)
            invalid |= {kept[row]: error for row, error in refused.items()}
            if result.outputs and self._rule.model.batched:
                self._check(result, piece.inputs, len(result.invalid))
                return ExecuteResult(result.outputs, invalid)
            left = [row for row in range(len(kept)) if row not in refused]
            kept = [kept[row] for row in left]
            if not kept:
                return ExecuteResult(no_rows(self._rule.signature), invalid)
            piece = self._again(piece, left)
            result = self._padded(piece.inputs)
        self._check(result, piece.inputs, 0)
        return ExecuteResult(self._rule.rows_of(result.outputs, piece), invalid)

    def _again(self, piece: Piece, left: Sequence[int]) -> Piece:
        """The piece with these of its rows alone."""
        chosen = np.array(left)
        tensors = tuple(Tensor(t.name, t.dtype, t.array[chosen]) for t in piece.inputs)
        return next(self._rule.pieces(tensors, len(left)))

    def _refused(self, piece: Piece, result: ExecuteResult) -> dict[int, InvalidInput]:
        """The rows of a piece that were refused; one that only fills up is a copy of the last.

        Raises:
            MalformedAnswer: a row was refused that nobody brought.
        """
        if self._rule.is_single:
            return {0: next(iter(result.invalid.values()))}
        given = piece.inputs[0].shape[0]
        foreign = [row for row in result.invalid if not 0 <= row < given]
        if foreign:
            raise MalformedAnswer(
                f"{self._id}: the model refused row {foreign[0]} of a batch of {given} rows"
            )
        return {min(row, piece.rows - 1): error for row, error in result.invalid.items()}

    def _padded(self, inputs: Tensors) -> ExecuteResult:
        if self._padding is None:
            return self._run(inputs)
        length = self._padding.length(inputs)
        result = self._run(merge([inputs], self._padding))
        outputs = tuple(self._padding.cut(tensor, length) for tensor in result.outputs)
        return ExecuteResult(outputs, result.invalid)

    def _check(self, result: ExecuteResult, inputs: Tensors, num_invalid: int) -> None:
        rows = inputs[0].shape[0] if self._rule.model.batched else 1
        try:
            check_outputs(result, self._rule.model, rows - num_invalid)
        except MalformedAnswer as err:
            raise MalformedAnswer(self._id.says(err.message)) from err
