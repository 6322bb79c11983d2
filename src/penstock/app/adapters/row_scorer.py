"""RowScorer: rows of a table through a model. Rows that it refuses are told of, one by one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from penstock.app.adapters.scoring import Scoring
from penstock.app.adapters.shared_model import SharedModel
from penstock.core.errors import PenstockError
from penstock.core.tensor import Array
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.predict_rows import RowPredictor, Rows


class Scored(NamedTuple):
    """What came of rows.

    Attributes:
        answered: kept columns and predictions.
        rows: the place of each answered row among those that were given, ascending; int64.
        refused: the other rows, by their place, and why.
    """

    answered: pa.RecordBatch
    rows: Array
    refused: Mapping[int, PenstockError]


class RowScorer:
    """Predicts rows of tables.

    Args:
        scoring: what to do.
        model: its model.

    Attributes:
        columns: what is read of the rows for the model.

    Raises:
        ConfigError: the columns do not fit the model.

    Concurrency: any thread; blocks.
    """

    def __init__(self, scoring: Scoring, model: SharedModel) -> None:
        self._scoring = scoring
        self._signature = model.signature
        columns = ColumnMap.resolve(model.signature, scoring.columns)
        self.columns = columns.columns
        never = threading.Event()
        self._predictor = RowPredictor(model, columns, scoring.batch_rows, Patience(), never)

    def outputs(self, schema: pa.Schema) -> OutputColumns:
        """What is written for rows of a schema.

        Raises:
            ConfigError: a kept or renamed column is not there, or two have one name.
        """
        told = self._scoring
        return OutputColumns.resolve(self._signature, schema, told.keep, told.rename, told.binary)

    def score(self, batch: pa.RecordBatch) -> Scored:
        """Predict rows. A batch that fails is halved until the rows at fault are known; what may
        succeed later is tried again.

        Raises:
            JobInputError: a column is missing, or of a type that never fits.
            PenstockError: the model does not answer, and no row is at fault for it.
        """
        outputs = self.outputs(batch.schema)
        every = np.arange(batch.num_rows)
        rows = Rows(batch, every)
        predicted = self._predictor.predict(rows, outputs, self._signature, _uncounted)
        refused = {dead.row: dead.error for dead in predicted.dead}
        return Scored(
            _one_batch(pa.Table.from_batches(predicted.batches, outputs.schema)),
            np.delete(every, list(refused)),
            refused,
        )


def _uncounted(rows: int, dead: int) -> None:
    """Nobody asks how far it is."""


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    if batches:
        return batches[0]
    empty = [pa.array([], field.type) for field in table.schema]
    return pa.RecordBatch.from_arrays(empty, schema=table.schema)
