"""Penstock: a batch job from Parquet to Parquet, by `penstock.BatchJob`, batch size `auto`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from plan import Plan, asked
from timing import tell

import penstock


def run(plan: Plan) -> None:
    """Run the job; it has begun when its batch size is found and its other workers start."""
    model = Path(plan.model)
    inputs = {} if plan.data == "tweets" else {"x": plan.columns}
    limit = {"max_batch_size": 512} if plan.data == "tweets" else {}
    job = penstock.BatchJob(
        name=plan.data,
        input={"format": "parquet", "path": f"{plan.input}/*.parquet"},
        model={"path": str(model.parent), **limit},
        columns=inputs,
        keep=["id"],
        output={"format": "parquet", "path": plan.output},
        engine=plan.kind,
        workers=plan.workers,
        **({"split_rows": plan.batch} if plan.batch else {}),
    )
    started = time.time()
    report = job.run()
    begun = (job.state / "job.json").stat().st_mtime
    ended = Path(plan.output, "_SUCCESS").stat().st_mtime
    if report.tally.rows_dead or report.tally.rows_in != report.tally.rows_out:
        raise RuntimeError(f"rows were lost: {report.tally}")
    print(f"batch size {report.batch_rows}, {report.tally.seconds}", file=sys.stderr)
    tell(started, begun, ended)


if __name__ == "__main__":
    run(asked())
