"""The floors: the bare model over arrays in memory, and over files, one thing after another.

`kind` "threads" and "processes": all rows lie in memory before the clock starts; each worker has a
share and loops over it. "files": one loop reads a batch with pyarrow, runs the model, writes it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_models import MODELS
from plan import Plan, asked
from side_by_side import side_by_side
from timing import tell


def to_rows(plan: Plan, batch: pa.RecordBatch | pa.Table) -> Any:
    """Return what the model takes: a list of texts, or FP32 [rows, 20]."""
    if plan.data == "tweets":
        return batch["text"].to_pylist()
    rows = np.empty((batch.num_rows, len(plan.columns)), np.float32)
    for at, name in enumerate(plan.columns):
        rows[:, at] = batch[name].to_numpy()
    return rows


def work(plan: Plan, number: int, barrier: Any, report: Any) -> None:
    """Loop over the share of one worker; report when it began and ended."""
    model = MODELS[plan.data](plan.model)
    rows = to_rows(plan, pq.read_table(plan.input, columns=plan.columns))
    share = rows[len(rows) * number // plan.workers : len(rows) * (number + 1) // plan.workers]
    del rows
    model(share[: plan.batch])
    barrier.wait(120)
    begun = time.time()
    kept = [model(share[at : at + plan.batch]) for at in range(0, len(share), plan.batch)]
    report((begun, time.time()))
    del kept


def in_memory(plan: Plan) -> tuple[float, float]:
    """Run all workers side by side; return when the first began and the last ended."""
    found = side_by_side(plan, work)
    return min(begun for begun, _ in found), max(ended for _, ended in found)


def over_files(plan: Plan) -> tuple[float, float]:
    """Read, run and write, batch by batch, in one thread; return when it began and ended."""
    model = MODELS[plan.data](plan.model)
    Path(plan.output).mkdir(parents=True)
    begun = time.time()
    for path in sorted(Path(plan.input).glob("*.parquet")):
        writer = None
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=65536, columns=["id", *plan.columns]):
            rows = to_rows(plan, batch)
            runs = [model(rows[at : at + plan.batch]) for at in range(0, len(rows), plan.batch)]
            labels, scores = (np.concatenate(side) for side in zip(*runs, strict=True))
            lists = pa.FixedSizeListArray.from_arrays(pa.array(scores.reshape(-1)), scores.shape[1])
            columns = {"id": batch["id"], "label": pa.array(labels), plan.scores: lists}
            table = pa.RecordBatch.from_pydict(columns)
            if writer is None:
                target = Path(plan.output) / path.name
                writer = pq.ParquetWriter(
                    target, table.schema, compression="zstd", use_dictionary=False
                )
            writer.write_batch(table)
        if writer is not None:
            writer.close()
    return begun, time.time()


if __name__ == "__main__":
    told = asked()
    started, ended = over_files(told) if told.kind == "files" else in_memory(told)
    tell(started, started, ended)
