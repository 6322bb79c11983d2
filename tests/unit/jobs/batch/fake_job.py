"""A batch job of fakes, put together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa

from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.transform import Transform, open_transform
from penstock.testing.fake_batch import (
    DOUBLING,
    FakePredictors,
    FakeSink,
    FakeSource,
    numbers_table,
)

AT_ONCE = Patience(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)
OPTIONS = RunOptions(batch_rows=8, patience=AT_ONCE)


def tables(files: int = 3, rows: int = 250) -> Mapping[str, pa.Table]:
    """Files ``f0``, ``f1``, ... whose rows count on from each other."""
    return {f"f{at}": numbers_table(at * rows, (at + 1) * rows) for at in range(files)}


def fake_job(
    state: Path,
    source: FakeSource | None = None,
    sink: FakeSink | None = None,
    model: FakePredictors | None = None,
    *,
    spec_digest: str = "s1",
    transform: Transform | None = None,
) -> JobParts:
    """750 rows of three files in splits of 100, with ``id`` going along."""
    return JobParts(
        source=source or FakeSource(tables()),
        sink=sink or FakeSink(),
        predictors=model or FakePredictors(),
        columns=ColumnMap.resolve(DOUBLING, {}),
        open_outputs=partial(OutputColumns.resolve, DOUBLING, keep=("id",)),
        spec_digest=spec_digest,
        state=state,
        transform=transform or open_transform(None),
    )


def ids(sink: FakeSink) -> list[int]:
    """The ids of all rows of the output, ascending."""
    return sorted(value for part in sink.parts.values() for value in part["id"].to_pylist())
