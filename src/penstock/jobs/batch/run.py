"""Run a batch job: from its plan to the mark that its output is whole; as often as it takes.

What is done: the journal says so, and the output still has the part. So a run that was killed
anywhere is gone on with by running it again; a part whose line was lost is written again, to the
same bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import pyarrow as pa

from penstock.core.errors import Internal, JobFailed
from penstock.jobs.batch.board import SplitBoard
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.dead import forget_unfinished
from penstock.jobs.batch.dead_rate import check_dead
from penstock.jobs.batch.engine import Engine, EngineTask
from penstock.jobs.batch.hold import hold
from penstock.jobs.batch.job_record import JobRecord, write_record
from penstock.jobs.batch.journal import Journal, Planned, Skipped
from penstock.jobs.batch.look_process import look_in_a_process
from penstock.jobs.batch.options import DEFAULTS, RunOptions
from penstock.jobs.batch.output_hold import CheckHold, hold_output
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.plan import begun_with, check_output, forget_missing, missing, plan_work
from penstock.jobs.batch.progress import OnProgress
from penstock.jobs.batch.report import LeftOut, Report, SplitTally
from penstock.jobs.batch.split_worker import WorkerRecipe, WorkerSettings
from penstock.jobs.batch.watch import watched
from penstock.jobs.batch.work import Work

JOURNAL = "journal.jsonl"
_SHOWN = 10


def run_job(
    parts: JobParts,
    options: RunOptions = DEFAULTS,
    on_progress: OnProgress | None = None,
    cancel: threading.Event | None = None,
) -> Report:
    """Do what is missing of a job. Blocks.

    Args:
        parts: the job; it is the caller's.
        options: how.
        on_progress: told how far it is.
        cancel: set by whomever, ends it within a batch.

    Raises:
        JobFailed: it could not be brought to its end; another runner has it, or its output; its
            model, its spec or its input is another one; too many rows are dead. What is done stays
            done.
        Cancelled: it was cancelled.
        PenstockError: the model does not load, or a setting is wrong.
    """
    cancel = cancel or threading.Event()
    with hold(parts.state, clock=options.clock) as handle, hold_output(parts, cancel) as check:
        journal = Journal(parts.state / JOURNAL)
        try:
            return JobRun(parts, options, journal, handle, check).go_on(on_progress, cancel)
        finally:
            journal.close()


class JobRun:
    """One run of a job, which is held. One thread.

    Args:
        parts: the job.
        options: how.
        journal: what is done.
        handle: the open file that holds it.
        check: raises where its output is not held any more.

    Attributes:
        plan: every split of the input.

    Raises:
        JobFailed: the job is another one than was begun.
    """

    def __init__(
        self,
        parts: JobParts,
        options: RunOptions,
        journal: Journal,
        handle: int,
        check: CheckHold,
    ) -> None:
        self._parts = parts
        self._options = options
        self._journal = journal
        self._handle = handle
        self._check = check
        self.record = begun_with(parts, journal.done)
        self._model = parts.predictors.identity
        self.plan = plan_work(parts)
        check_output(self.plan, journal.done, parts.sink)

    def go_on(self, on_progress: OnProgress | None, cancel: threading.Event) -> Report:
        """See ``run_job``."""
        clock, journal = self._options.clock, self._journal
        started_ns = clock.monotonic_ns()
        self._parts.sink.begin()
        forget_unfinished(self._parts.state)
        forget_missing(self.plan, journal, self._parts.sink, cancel)
        journal.append(Planned(len(self.plan)))
        record = self.record or self._begin(cancel)
        before = journal.tally()
        done_before = len(journal.done)
        self._do(missing(self.plan, journal), record, on_progress, cancel)
        tally = journal.tally()
        self._check()
        skipped = self._finish(tally, record)
        return Report(
            name=self._options.name,
            model=self._model,
            splits=len(self.plan),
            wall_s=(clock.monotonic_ns() - started_ns) / 1e9,
            tally=tally,
            done_before=done_before,
            rows_before=before.rows_in,
            batch_rows=record.cut.batch_rows,
            engine=self._options.engine_name,
            workers=self._options.workers,
            output=self._options.output,
            num_left_out=len(skipped),
            left_out=tuple(LeftOut(one.split, one.reason) for one in skipped[:_SHOWN]),
        )

    def _begin(self, cancel: threading.Event) -> JobRecord:
        """Look at the first rows, and keep what was seen."""
        cut, schema = look_in_a_process(self._parts, self.plan, self._options, cancel)
        self._parts.open_outputs(pa.ipc.read_schema(pa.py_buffer(schema)))  # or refuse the job
        record = JobRecord(self._model, self._parts.spec_digest, cut, schema)
        write_record(self._parts.state, record)
        return record

    def _do(
        self,
        todo: Sequence[Work],
        record: JobRecord,
        on_progress: OnProgress | None,
        cancel: threading.Event,
    ) -> None:
        """Have splits done.

        Raises:
            PenstockError: not all of them could be.
        """
        options = self._options
        board = SplitBoard(todo, self._journal, options.board, options.clock)
        settings = WorkerSettings(
            cut=record.cut,
            schema=record.schema,
            memory_bytes=options.memory_bytes,
            copies=options.workers,
            readers=options.readers,
            patience=options.patience,
        )
        opens = options.open_parts
        recipe = None if opens is None else WorkerRecipe(opens, settings)
        if todo:
            task = EngineTask(self._parts, settings, board, options.workers, recipe, self._handle)
            with watched(board, on_progress, cancel, self._check):
                _run(options.engine, task)
        board.check()

    def _skipped(self) -> list[Skipped]:
        skipped = self._journal.skipped
        return [skipped[work.id] for work in missing(self.plan, self._journal)]

    def _finish(self, tally: SplitTally, record: JobRecord) -> list[Skipped]:
        """Mark the output as whole; tells what was left out of it.

        Raises:
            JobFailed: it is not.
        """
        skipped = self._skipped()
        if len(skipped) == len(self.plan):
            raise JobFailed(f"nothing of the input can be read: {skipped[0].reason}")
        if not all(entry.tally.is_whole for entry in self._journal.done.values()):
            raise Internal("rows are missing, though all splits are done")
        max_rate = self._options.policy.max_rate
        check_dead(tally.rows_dead, tally.rows_in, max_rate, self._parts.state, is_end=True)
        forget_unfinished(self._parts.state)  # what workers have left that died
        self._parts.sink.finish(msgspec.json.encode(_summary(tally, record, self.plan, skipped)))
        return skipped


def _run(engine: Engine, task: EngineTask) -> None:
    try:
        engine(task)
    except (MemoryError, OSError) as err:
        raise broken(err) from err


def _summary(
    tally: SplitTally, record: JobRecord, plan: Sequence[Work], skipped: Sequence[Skipped]
) -> dict[str, object]:
    """What is said of a whole output; the same after each run of the job."""
    return {
        "model": record.model,
        "spec_digest": record.spec_digest,
        "batch_rows": record.cut.batch_rows,
        "splits": len(plan),
        "rows_in": tally.rows_in,
        "rows_out": tally.rows_out,
        "rows_dead": tally.rows_dead,
        "rows_dropped": tally.rows_dropped,
        "skipped": [{"split": one.split, "reason": one.reason} for one in skipped],
    }
