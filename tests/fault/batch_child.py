"""A batch job that takes a few seconds, for tests that kill it. A program."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.engine_local import run_local
from penstock.jobs.batch.engine_processes import run_in_processes
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.sinks.file_sink import open_file_sink
from penstock.jobs.batch.spec_outputs import ParquetOutput
from penstock.jobs.batch.transform import open_transform
from penstock.testing.fake_batch import DOUBLING, FakePredictors, FakeSource, numbers_table


def open_job(folder: Path, predict_s: float) -> JobParts:
    """2000 rows in splits of 50, two of them poison; every prediction takes a while."""
    return JobParts(
        source=FakeSource({"a": numbers_table(0, 2000)}, split_rows=50),
        sink=open_file_sink(ParquetOutput(path=str(folder / "out"))),
        predictors=FakePredictors(poison={3.0, 1777.0}, before=partial(_sleep, predict_s)),
        columns=ColumnMap.resolve(DOUBLING, {}),
        open_outputs=partial(OutputColumns.resolve, DOUBLING, keep=("id",)),
        spec_digest="s1",
        state=folder / "state",
        transform=open_transform(None),
    )


def _sleep(seconds: float, rows: int) -> None:
    del rows
    time.sleep(seconds)


def main(folder: Path, engine: str, predict_s: float = 0.005) -> None:
    options = RunOptions(
        batch_rows=8,
        workers=2,
        policy=FailurePolicy(max_rate=1.0),
        engine=run_local if engine == "local" else run_in_processes,
        open_parts=partial(open_job, folder, predict_s),
    )
    run_job(open_job(folder, predict_s), options)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
