"""BeamModelHandler: what Beam's RunInference calls. Imports Beam; see ``beam_model_handler``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from penstock.app.adapters.row_scorer import RowScorer, Scored
from penstock.app.adapters.scoring import Scoring
from penstock.app.adapters.shared_model import shared_model
from penstock.core.errors import ConfigError, InvalidArgument, JobInputError, PenstockError
from penstock.jobs.batch.bisect import bisect

Row: TypeAlias = Any
"""A mapping of columns, a ``beam.Row``, or the value of a model's only column."""


class RefusedRow(NamedTuple):
    """What stands in the place of a refused row's inference.

    Attributes:
        code: what is wrong, as ``ErrorCode`` has it.
        message: what is wrong, for people.
    """

    code: str
    message: str


class LoadedModel:
    """What the handler gives Beam as its model: one for each process."""

    def __init__(self, scoring: Scoring) -> None:
        model = shared_model(scoring.model)
        self.scorer = RowScorer(scoring, model)
        identity = model.identity
        self.id = f"{identity.name}:{identity.version}"


class BeamModelHandler(ModelHandler[Row, PredictionResult, LoadedModel]):  # type: ignore[misc]
    """Predicts the elements of a PCollection.

    An element is a mapping of columns (or a ``beam.Row``); where the model needs one column, it may
    be that column's value. An inference is a dictionary, output to value. A row that the model
    refuses has a ``RefusedRow`` as its inference, whatever batch Beam has put it in: the others are
    answered. What may succeed later is tried again, then fails the bundle, which Beam repeats.

    Args:
        scoring: which model, and what of it; nothing is kept: a result has its element.
    """

    def __init__(self, scoring: Scoring) -> None:
        super().__init__(max_batch_size=scoring.batch_rows)
        self._scoring = scoring

    def load_model(self) -> LoadedModel:
        """The process's copy; Beam calls this once for each process."""
        return LoadedModel(self._scoring)

    def run_inference(
        self,
        batch: Sequence[Row],
        model: LoadedModel,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        """Predict a batch: a result for each element, in order.

        Raises:
            ConfigError: inference arguments: there are none.
            PenstockError: the model does not answer, and no row is at fault for it.
        """
        if inference_args:
            raise ConfigError(f"inference_args: expected none, got {', '.join(inference_args)}")
        inferences: list[Mapping[str, Any] | RefusedRow] = []
        for part in _score(model.scorer, batch):
            if isinstance(part, PenstockError):
                inferences.append(RefusedRow(str(part.code), part.message))
            else:
                inferences += _inferences(part)
        return [
            PredictionResult(element, inference, model.id)
            for element, inference in zip(batch, inferences, strict=True)
        ]

    def get_num_bytes(self, batch: Sequence[Row]) -> int:
        """About what the rows hold, for Beam's metrics."""
        return sum(_num_bytes(element) for element in batch)

    def get_metrics_namespace(self) -> str:
        """What Beam's metrics are called."""
        return "BeamML_Penstock"

    def update_model_path(self, model_path: str | None = None) -> None:
        """Models are swapped by their repository, not by Beam.

        Raises:
            ConfigError: a path is given.
        """
        if model_path is not None:
            raise ConfigError(
                f"model_metadata_pcoll: expected none, got {model_path}; name a label as the "
                "model's version, and move the label"
            )

    @staticmethod
    def split_refused(results: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        """Results, keyed or not, as two: those that were answered, those that were refused."""
        refused, answered = results | "SplitRefused" >> beam.Partition(_is_answered, 2)
        return answered, refused


def _is_answered(result: Any, _: int) -> int:
    if not isinstance(result, PredictionResult):
        _, result = result  # with its key
    return 0 if isinstance(result.inference, RefusedRow) else 1


def _score(scorer: RowScorer, rows: Sequence[Row]) -> list[Scored | PenstockError]:
    """The rows in parts that fit one table, in order; a row that fits none is an error."""

    def attempt(start: int, stop: int) -> Scored | PenstockError:
        try:
            return scorer.score(_table(rows[start:stop], scorer.columns))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as err:
            return InvalidArgument(f"no row of a table can be made of it: {err}")
        except JobInputError as err:
            return err

    whole = attempt(0, len(rows))
    if not isinstance(whole, PenstockError):
        return [whole]
    answered, guilty = bisect(range(len(rows)), whole, attempt)
    parts: list[tuple[int, Scored | PenstockError]]
    parts = [(one.start, one.answer) for one in answered]
    parts += [(one.row, one.error) for one in guilty]
    return [part for _, part in sorted(parts, key=lambda part: part[0])]


def _inferences(scored: Scored) -> list[Mapping[str, Any] | RefusedRow]:
    by_row: dict[int, Mapping[str, Any] | RefusedRow] = {
        row: RefusedRow(str(error.code), error.message) for row, error in scored.refused.items()
    }
    by_row |= zip(scored.rows.tolist(), scored.answered.to_pylist(), strict=True)
    return [by_row[row] for row in sorted(by_row)]


def _table(rows: Sequence[Row], columns: Sequence[str]) -> pa.RecordBatch:
    mappings = [_mapping(row, columns) for row in rows]
    return pa.RecordBatch.from_pydict(
        {name: [_plain(row.get(name)) for row in mappings] for name in columns}
    )


def _mapping(row: Row, columns: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):
        mapping: Mapping[str, Any] = row._asdict()
        return mapping
    if len(columns) == 1:
        return {columns[0]: row}
    raise TypeError(f"expected a mapping with {', '.join(columns)}, got {type(row).__name__}")


def _plain(value: Any) -> Any:
    """The value as Arrow takes it: an array of several dimensions as nested lists."""
    return value.tolist() if isinstance(value, np.ndarray) and value.ndim != 1 else value


def _num_bytes(element: Row) -> int:
    if isinstance(element, Mapping):
        return sum(_num_bytes(value) for value in element.values())
    size = getattr(element, "nbytes", None)
    if isinstance(size, int):
        return size
    return len(element) if isinstance(element, str | bytes) else 8
