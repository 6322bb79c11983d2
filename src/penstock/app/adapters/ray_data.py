"""RayDataPredictor: a model in Ray Data's ``map_batches``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.app.adapters.scoring import BATCH_ROWS, Scoring, model_ref
from penstock.jobs.model_ref import ModelRef

if TYPE_CHECKING:
    import pyarrow as pa


class RayDataPredictor:
    """A callable class: each actor of Ray Data loads one copy.

    ::

        dataset.map_batches(
            penstock.RayDataPredictor,
            fn_constructor_kwargs={"model": {"path": "models", "name": "digits"}, "keep": ["id"]},
            batch_format="pyarrow",
            concurrency=2,
        )

    Args:
        model: which, as ``model`` in a job's file; a text is its path.
        columns: input to its column, or to columns side by side; by name where it says nothing.
        keep: columns that go along to the output.
        rename: output to the name that it is written under.
        binary: BYTES outputs that are no text.
        error_column: a text column that says why a row was refused, whose predictions are null
            then. None: no such column, and a refused row is an error.
        batch_rows: the most rows that the model is given at once, whatever Ray Data's batches are.

    Raises:
        ConfigError, LoadFailed: the model is not there, does not load, or has other inputs.
    """

    def __init__(
        self,
        model: ModelRef | Mapping[str, Any] | str,
        *,
        columns: Mapping[str, str | Sequence[str]] | None = None,
        keep: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        binary: Sequence[str] = (),
        error_column: str | None = "error",
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        scoring = Scoring(
            model=model_ref(model),
            columns=columns or {},
            keep=tuple(keep),
            rename=rename or {},
            binary=tuple(binary),
            batch_rows=batch_rows,
        )
        from penstock.app.adapters.table_scorer import open_table_scorer

        self._scorer = open_table_scorer(scoring, error_column)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Predict a batch, as many rows as came, in order.

        Raises:
            JobInputError: a column is missing, or of a type that never fits.
            JobFailed: a row was refused, and there is no column to say so.
        """
        return self._scorer.score_table(batch)
