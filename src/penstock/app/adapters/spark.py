"""SparkPredictor: a model over a Spark DataFrame, by ``mapInArrow``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.app.adapters.scoring import BATCH_ROWS, Scoring, model_ref
from penstock.core.errors import ConfigError, JobFailed
from penstock.jobs.model_ref import ModelRef
from penstock.repository.manifest_shape import nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


class SparkPredictor:
    """Predicts the rows of DataFrames; each Python worker of Spark loads one copy and keeps it.

    ::

        predictor = penstock.SparkPredictor({"path": "models", "name": "digits"}, keep=["id"])
        predicted = predictor.predict(frame)

    Args:
        model: which, as ``model`` in a job's file; a text is its path. The workers find
            it there too, and the very same version.
        columns: input to its column, or to columns side by side; by name where it says nothing.
        keep: columns that go along to the output.
        rename: output to the name that it is written under.
        binary: BYTES outputs that are no text.
        error_column: a text column that says why a row was refused, whose predictions are null
            then. None: no such column, and a refused row fails the task.
        batch_rows: the most rows that the model is given at once, whatever Spark's batches are.

    Raises:
        ConfigError: the reference to the model is wrong.
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
        self._error_column = error_column
        self._scoring = Scoring(
            model=model_ref(model),
            columns=columns or {},
            keep=tuple(keep),
            rename=rename or {},
            binary=tuple(binary),
            batch_rows=batch_rows,
        )

    def predict(self, frame: DataFrame) -> DataFrame:
        """A frame of kept columns and predictions, as lazy as the frame it is of. The model is
        loaded here too: its signature tells which columns there will be.

        Raises:
            ConfigError: Spark is not installed, or the columns do not fit the model.
            LoadFailed: the model does not load.
        """
        try:
            from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

            from penstock.app.adapters.shared_model import shared_model
            from penstock.app.adapters.spark_types import spark_arrow_schema
            from penstock.app.adapters.table_scorer import open_table_scorer
        except ModuleNotFoundError as err:
            raise ConfigError("SparkPredictor needs Spark: pip install 'penstock[spark]'") from err
        scoring = self._scoring
        scorer = open_table_scorer(scoring, self._error_column)
        read = tuple(dict.fromkeys((*scorer.columns, *scoring.keep)))
        for name in read:
            if name not in frame.columns:
                hint = nearest(name, frame.columns)
                raise ConfigError(f"the frame has no column '{name}', {hint}")
        rows = frame.select(*(f"`{name.replace('`', '``')}`" for name in read))
        schema = spark_arrow_schema(scorer.schema(to_arrow_schema(rows.schema)))
        identity = shared_model(scoring.model).identity
        pinned = msgspec.structs.replace(scoring, model=scoring.model.pinned(identity))
        task = _Task(pinned, self._error_column, identity.digest, read, schema)
        numbered = rows.toDF(*(f"c{place}" for place in range(len(read))))  # Spark's takes no dots
        return numbered.mapInArrow(task, from_arrow_schema(schema))


class _Task:
    """What Spark pickles and calls for each partition.

    Args:
        scoring: what to do.
        error_column: see ``TableScorer``.
        digest: of the model that the driver has.
        names: of the columns that come, in order.
        schema: of what goes.
    """

    def __init__(
        self,
        scoring: Scoring,
        error_column: str | None,
        digest: str,
        names: Sequence[str],
        schema: pa.Schema,
    ) -> None:
        self._scoring = scoring
        self._error_column = error_column
        self._digest = digest
        self._names = list(names)
        self._schema = schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Predict a partition.

        Raises:
            JobFailed: the model here is another than the driver has.
            PenstockError: as ``TableScorer.score``.
        """
        from penstock.app.adapters.shared_model import shared_model
        from penstock.app.adapters.table_scorer import open_table_scorer

        scorer = open_table_scorer(self._scoring, self._error_column)
        found = shared_model(self._scoring.model).identity
        if found.digest != self._digest:
            raise JobFailed(
                f"{found.name} version {found.version}: its files on this worker are others than "
                "the driver's; give all of them the same path or URL"
            )
        for batch in batches:
            yield scorer.score(batch.rename_columns(self._names)).cast(self._schema)
