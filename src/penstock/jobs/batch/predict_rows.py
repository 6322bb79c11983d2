"""From rows that were read to rows that can be written: predict them, and find the bad ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from penstock.core.errors import (
    Cancelled,
    InvalidArgument,
    InvalidInput,
    JobInputError,
    MalformedAnswer,
    ModelFailed,
    PenstockError,
    TooLarge,
)
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Array, Tensor
from penstock.jobs.batch.bisect import Answered, bisect
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.dead import raw_rows
from penstock.jobs.batch.distribution import Distribution, add_distributions, distributions
from penstock.jobs.batch.parts import Outputs
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.source import BadRow
from penstock.jobs.batch.text_order import shortest_first, takes_text
from penstock.jobs.predictor import Predictor
from penstock.runtime.executable import ExecuteResult

Seen: TypeAlias = Callable[[int, int], None]
"""Told how many more rows came to their end, and how many of them as dead letters."""


class Rows(NamedTuple):
    """Rows of a split, as they are predicted.

    Attributes:
        batch: the rows.
        numbers: int64 ``[rows]``: their numbers in the split, ascending.
    """

    batch: pa.RecordBatch
    numbers: Array


class Predicted(NamedTuple):
    """What became of rows.

    Attributes:
        batches: rows of the output, in order.
        dead: those that could not be predicted, in order.
        predictions: what was answered, by output.
    """

    batches: Sequence[pa.RecordBatch]
    dead: Sequence[BadRow]
    predictions: Mapping[str, Distribution]


class _Segment(NamedTuple):
    """Rows that were answered together: their places in the batch, ascending, and the answer."""

    places: Array
    outputs: tuple[Tensor, ...]

    @property
    def row_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tensor.shape[1:] for tensor in self.outputs)


class RowPredictor:
    """One copy of a model over rows. One thread at a time.

    Args:
        predictor: the copy; it is the caller's.
        columns: which columns make its inputs.
        batch_rows: the most rows that it is given together.
        patience: how often it is asked again where it may answer then.
        stop: ends it between two batches.
    """

    def __init__(
        self,
        predictor: Predictor,
        columns: ColumnMap,
        batch_rows: int,
        patience: Patience,
        stop: threading.Event,
    ) -> None:
        self._predictor = predictor
        self._columns = columns
        self._batch_rows = batch_rows
        self._patience = patience
        self._stop = stop

    def predict(
        self, rows: Rows, outputs: Outputs, signature: ModelSignature, seen: Seen
    ) -> Predicted:
        """Predict rows, cut into batches from the first one on, texts from the shortest one on; the
        bad ones are dead.

        A batch that fails for what may be one row's fault is halved until the rows are known that
        fail by themselves. A batch for which there is no memory, even after waiting, is halved
        too: models whose last digits depend on the batch may answer with others then.

        Args:
            rows: of one split.
            outputs: makes rows of the output.
            signature: the model's.
            seen: told after each batch.

        Raises:
            JobInputError: the columns do not fit the model.
            Cancelled: it was stopped.
            PenstockError: the model does not answer, after all attempts.
        """
        tensors, unfit = self._columns.to_tensors(rows.batch)
        refused: dict[int, PenstockError] = {bad.row: bad.error for bad in unfit}
        places = _all_but(np.arange(rows.batch.num_rows), list(refused))
        is_sorted = takes_text(signature)
        if is_sorted:
            order = shortest_first(tensors)
            tensors, places = _rows_at(tensors, order), places[order]
        seen(len(refused), len(refused))
        segments: list[_Segment] = []
        for start in range(0, len(places), self._batch_rows):
            stop = min(start + self._batch_rows, len(places))
            answered, guilty = self._answer(tensors, start, stop)
            refused |= {int(places[row]): error for row, error in guilty.items()}
            seen(stop - start, len(guilty))
            for one in answered:
                invalid = list(one.answer.invalid)
                good = _all_but(places[one.start : one.stop], invalid)
                segments.append(_Segment(good, one.answer.outputs))
        merged = _merge(segments)
        if is_sorted:
            merged = [_in_order(one) for one in merged]
        return Predicted(
            [outputs.to_batch(one.outputs, _take(rows.batch, one.places)) for one in merged],
            _dead(rows, refused),
            _told(merged, signature),
        )

    def _answer(
        self, tensors: tuple[Tensor, ...], start: int, stop: int
    ) -> tuple[list[Answered[ExecuteResult]], dict[int, PenstockError]]:
        """The answers to one batch, and its rows that have none, by their place in the tensors."""

        def attempt(first: int, last: int) -> ExecuteResult | PenstockError:
            return self._attempt(tuple(one.rows(first, last) for one in tensors))

        result = attempt(start, stop)
        if isinstance(result, PenstockError):
            answered, found = bisect(range(start, stop), result, attempt)
        else:
            answered, found = [Answered(start, stop, result)], []
        guilty: dict[int, PenstockError] = {one.row: one.error for one in found}
        for one in answered:
            guilty |= {one.start + row: error for row, error in one.answer.invalid.items()}
        return answered, guilty

    def _attempt(self, inputs: tuple[Tensor, ...]) -> ExecuteResult | PenstockError:
        """The answer, or an error that may be one row's fault."""
        if self._stop.is_set():
            raise Cancelled("the job was stopped")
        try:
            result = self._patience.call(lambda: self._predictor.predict(inputs), self._stop)
        except (ModelFailed, TooLarge, InvalidInput) as err:
            return err
        except MemoryError:
            return ModelFailed(f"no memory is left to predict {len(inputs[0].array)} rows")
        except InvalidArgument as err:
            raise JobInputError(f"the rows do not fit the model: {err.message}") from err
        return _checked(result, len(inputs[0].array))


def _checked(result: ExecuteResult, rows: int) -> ExecuteResult | PenstockError:
    """The answer, if it has a row for each that is not invalid."""
    expected = rows - len(result.invalid)
    for tensor in result.outputs:
        if tensor.shape[:1] != (expected,):
            return MalformedAnswer(
                f"output '{tensor.name}': expected {expected} rows, got shape {list(tensor.shape)}"
            )
    return result


def _merge(segments: Sequence[_Segment]) -> list[_Segment]:
    """Segments laid one below the other, as far as their rows are of one shape."""
    merged = []
    for _, group in groupby(segments, key=lambda one: one.row_shapes):
        parts = list(group)
        if len(parts) > 1:
            sides = zip(*(one.outputs for one in parts), strict=True)
            outputs = tuple(_concatenate(side) for side in sides)
            parts = [_Segment(np.concatenate([one.places for one in parts]), outputs)]
        merged += parts
    return merged


def _in_order(segment: _Segment) -> _Segment:
    """Its rows as they were read."""
    order = np.argsort(segment.places)
    return _Segment(segment.places[order], _rows_at(segment.outputs, order))


def _rows_at(tensors: Sequence[Tensor], places: Array) -> tuple[Tensor, ...]:
    return tuple(Tensor(one.name, one.dtype, one.array[places]) for one in tensors)


def _told(segments: Sequence[_Segment], signature: ModelSignature) -> Mapping[str, Distribution]:
    told: Mapping[str, Distribution] = {}
    for one in segments:
        told = add_distributions(told, distributions(signature, one.outputs))
    return told


def _concatenate(tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0]
    return Tensor(first.name, first.dtype, np.concatenate([one.array for one in tensors]))


def _all_but(places: Array, without: Sequence[int]) -> Array:
    """The places but for those at these indices."""
    return np.delete(places, without) if without else places


def _take(batch: pa.RecordBatch, places: Array) -> pa.RecordBatch:
    """Rows of a batch; the batch itself, not copied, where that is all of them."""
    if len(places) == batch.num_rows:
        return batch
    first, last = (int(places[0]), int(places[-1])) if len(places) else (0, -1)
    if last - first + 1 == len(places):
        return batch.slice(first, len(places))
    return batch.take(pa.array(places))


def _dead(rows: Rows, refused: Mapping[int, PenstockError]) -> list[BadRow]:
    places = sorted(refused)
    return [
        BadRow(int(rows.numbers[place]), refused[place], raw)
        for place, raw in zip(places, raw_rows(rows.batch, places), strict=True)
    ]
