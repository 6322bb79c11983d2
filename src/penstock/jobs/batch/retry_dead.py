"""Predict dead rows again, and write those parts anew of which a row lives.

A part whose row lives is done again as a whole: so its bytes are those of a run in which the row
had never failed, whatever the model makes of the rows beside it. A part of which no row lives is
left alone, whatever the number of its dead.
"""

from __future__ import annotations

import threading

import msgspec
import numpy as np
import pyarrow as pa

from penstock.core.errors import Cancelled, JobFailed
from penstock.jobs.batch.dead import read_dead
from penstock.jobs.batch.hold import hold
from penstock.jobs.batch.job_record import JobRecord
from penstock.jobs.batch.journal import Journal, Redo
from penstock.jobs.batch.options import DEFAULTS, RunOptions
from penstock.jobs.batch.output_hold import hold_output
from penstock.jobs.batch.parts import JobParts, Outputs
from penstock.jobs.batch.predict_rows import RowPredictor, Rows
from penstock.jobs.batch.progress import OnProgress
from penstock.jobs.batch.read_rows import RowReader
from penstock.jobs.batch.report import Report
from penstock.jobs.batch.run import JOURNAL, JobRun
from penstock.jobs.batch.work import Work


def retry_dead(
    parts: JobParts,
    options: RunOptions = DEFAULTS,
    on_progress: OnProgress | None = None,
    cancel: threading.Event | None = None,
) -> Report:
    """Try the dead rows of a job again; then do what is missing, as ``run_job``. Blocks.

    Killed anywhere and run again, it comes to the same end; so it does when it is run twice.

    Args:
        parts: the job; it is the caller's.
        options: how.
        on_progress: told how far the writing is.
        cancel: set by whomever, ends it within a batch.

    Raises:
        JobFailed: the job was never run; else as for ``run_job``.
    """
    cancel = cancel or threading.Event()
    with hold(parts.state, clock=options.clock) as handle, hold_output(parts, cancel) as check:
        journal = Journal(parts.state / JOURNAL)
        try:
            run = JobRun(parts, options, journal, handle, check)
            if run.record is None:
                raise JobFailed(f"{parts.state}: no job was run here; run it first")
            lives = _Lives(parts, options, run.record, cancel)
            tried: dict[str, int] = {}
            try:
                for work in run.plan:
                    done = journal.done.get(work.id)
                    if done is not None and done.tally.rows_dead:
                        tried[work.id] = done.tally.rows_dead
                        if lives.any_of(work):
                            journal.append(Redo(work.id))
            finally:
                lives.close()
            report = run.go_on(on_progress, cancel)
            again = sum(one.tally.rows_dead for key, one in journal.done.items() if key in tried)
            return msgspec.structs.replace(report, dead_tried=sum(tried.values()), dead_again=again)
        finally:
            journal.close()


class _Lives:
    """Whether dead rows live. One thread."""

    def __init__(
        self, parts: JobParts, options: RunOptions, record: JobRecord, cancel: threading.Event
    ) -> None:
        self._parts = parts
        self._cancel = cancel
        self._outputs: Outputs = parts.open_outputs(pa.ipc.read_schema(pa.py_buffer(record.schema)))
        self._reader = RowReader(
            parts.source, parts.transform, record.cut, options.patience, options.clock
        )
        self._predictor = parts.predictors.open()
        self._rows = RowPredictor(
            self._predictor, parts.columns, record.cut.batch_rows, options.patience, cancel
        )

    def close(self) -> None:
        """Give the model back."""
        self._predictor.close()

    def any_of(self, work: Work) -> bool:
        """Whether a dead row of the split can be predicted now.

        Raises:
            PenstockError: it cannot be told; the job is as it was.
        """
        letters = read_dead(self._parts.state, work.id)
        dead = np.array([letter.row for letter in letters], dtype=np.int64)
        for piece in self._reader.pieces(work.split, self._cancel):
            if self._cancel.is_set():
                raise Cancelled("the job was stopped; nothing was changed")
            places = np.flatnonzero(np.isin(piece.rows.numbers, dead))
            if not len(places):
                continue
            batch = piece.rows.batch.take(pa.array(places))
            predicted = self._rows.predict(
                Rows(batch, piece.rows.numbers[places]),
                self._outputs,
                self._parts.predictors.signature,
                lambda rows, failed: None,
            )
            if any(one.num_rows for one in predicted.batches):
                return True
        return False
