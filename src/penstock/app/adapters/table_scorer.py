"""TableScorer: as many rows out as in, in their order; what was refused says why in a column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from penstock.app.adapters.row_scorer import RowScorer, Scored
from penstock.app.adapters.scoring import Scoring
from penstock.app.adapters.shared_model import shared_model
from penstock.core.errors import ConfigError, JobFailed, PenstockError


class TableScorer:
    """Predicts batches of a table.

    Attributes:
        columns: what is read of the rows for the model.

    Args:
        scorer: what predicts.
        scoring: what it was told.
        error_column: the name of a text column that says why a row was refused, and is null where
            it was not; predictions of refused rows are null. None: a refused row is an error.
    """

    def __init__(self, scorer: RowScorer, scoring: Scoring, error_column: str | None) -> None:
        self.columns = scorer.columns
        self._scorer = scorer
        self._keep = scoring.keep
        self._error_column = error_column

    def schema(self, rows: pa.Schema) -> pa.Schema:
        """What comes out for rows of a schema.

        Raises:
            ConfigError: a kept or renamed column is not there, or two have one name.
        """
        schema = self._scorer.outputs(rows).schema
        if self._error_column is None:
            return schema
        if self._error_column in schema.names:
            raise ConfigError(
                f"error_column: '{self._error_column}' is a column of the output already; give "
                "another name"
            )
        return schema.append(pa.field(self._error_column, pa.string()))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Predict rows.

        Raises:
            JobFailed: a row was refused, and there is no column to say so.
            PenstockError: as ``RowScorer.score``.
        """
        schema = self.schema(batch.schema)
        scored = self._scorer.score(batch)
        if self._error_column is None:
            _refuse(scored.refused, batch.num_rows)
            return scored.answered
        columns = [*scored.answered.columns, pa.nulls(len(scored.rows), pa.string())]
        answered = pa.RecordBatch.from_arrays(columns, schema=schema)
        return self._with_refused(answered, batch, scored) if scored.refused else answered

    def score_table(self, table: pa.Table) -> pa.Table:
        """As ``score``, for a table."""
        batches = [self.score(part) for part in table.combine_chunks().to_batches()]
        return pa.Table.from_batches(batches, self.schema(table.schema))

    def _with_refused(
        self, answered: pa.RecordBatch, batch: pa.RecordBatch, scored: Scored
    ) -> pa.RecordBatch:
        refused = sorted(scored.refused)
        rows = batch.take(pa.array(refused, pa.int64()))
        told = [f"{scored.refused[row].code}: {scored.refused[row].message}" for row in refused]
        fields = list(answered.schema)
        columns = [
            rows.column(rows.schema.get_field_index(name)).cast(field.type)
            for name, field in zip(self._keep, fields, strict=False)
        ]
        columns += [pa.nulls(len(refused), field.type) for field in fields[len(self._keep) : -1]]
        columns.append(pa.array(told, pa.string()))
        without = pa.RecordBatch.from_arrays(columns, schema=answered.schema)
        order = np.argsort(np.concatenate([scored.rows, refused]))
        both = pa.Table.from_batches([answered, without]).combine_chunks()
        return both.to_batches()[0].take(pa.array(order))


def open_table_scorer(scoring: Scoring, error_column: str | None) -> TableScorer:
    """A scorer with the process's copy of its model.

    Raises:
        ConfigError, LoadFailed: the model is not there, does not load, or has other inputs.
    """
    return TableScorer(RowScorer(scoring, shared_model(scoring.model)), scoring, error_column)


def _refuse(refused: Mapping[int, PenstockError], rows: int) -> None:
    if refused:
        first = min(refused)
        raise JobFailed(
            f"{len(refused)} of {rows} rows were refused; the first of them, row {first}: "
            f"{refused[first].message}; name an error_column to go on without them"
        )
