"""The plan of a job: its splits by id, and what of them is done already."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from penstock.core.errors import Cancelled, JobFailed, JobInputError
from penstock.jobs.batch.job_record import JobRecord, check_record, read_record
from penstock.jobs.batch.journal import Done, Journal, Redo
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.sink import BatchSink, ListsParts
from penstock.jobs.batch.split import split_id
from penstock.jobs.batch.work import Work

_SHOWN = 3
_LOOKS_AT_ONCE = 8


def begun_with(parts: JobParts, done: Mapping[str, Done]) -> JobRecord | None:
    """What the job was begun with; None: it was not, or it may begin as it is now, since nothing of
    what was begun is in the output.

    Raises:
        JobFailed: it was begun with another model, or as another job.
    """
    record = read_record(parts.state)
    if record is None:
        return None
    try:
        check_record(parts.state, record, parts.predictors.identity, parts.spec_digest)
    except JobFailed:
        if done or not isinstance(parts.sink, ListsParts) or any(parts.sink.part_ids()):
            raise
        return None
    return record


def check_columns(parts: JobParts) -> None:
    """See that the input has the columns that are asked for; of what a transform makes nothing is
    known before it runs.

    Raises:
        ConfigError, JobInputError: a column is not there, or never fits; the input cannot be read.
    """
    if parts.transform.digest:
        return
    schema = parts.source.schema()
    parts.columns.to_tensors(pa.RecordBatch.from_pylist([], schema))
    parts.open_outputs(schema)


def plan_work(parts: JobParts) -> list[Work]:
    """Every split of the input.

    Raises:
        JobInputError: there is nothing to read, or one split is there twice.
    """
    model = parts.predictors.identity.digest
    plan = {}
    for split in parts.source.plan():
        work = Work(split, split_id(split, model, parts.spec_digest))
        if work.id in plan:
            raise JobInputError(f"{split}: the input has it twice; give it once")
        plan[work.id] = work
    if not plan:
        raise JobInputError("the input has nothing to read; check its path")
    return list(plan.values())


def check_output(plan: Sequence[Work], done: Mapping[str, Done], sink: BatchSink) -> None:
    """See that the output has no parts but those of this plan.

    Raises:
        JobFailed: an input was changed or taken away after its part was written, or there are
            parts of another job.
        JobOutputError: the output cannot be reached.
    """
    planned = {work.id for work in plan}
    gone = [entry.split for entry in done.values() if entry.id not in planned]
    if gone:
        raise JobFailed(
            f"the input was changed since its predictions were written: {_some(gone)}; bring it "
            f"back as it was, give the job another output and 'state', or start over with --fresh"
        )
    foreign = set(sink.part_ids()) - planned if isinstance(sink, ListsParts) else set()
    if foreign:
        raise JobFailed(
            f"the output has parts of another job, model or input: {_some(sorted(foreign))}; give "
            f"the job an output of its own, or empty this one: predictions of two kinds are never "
            f"mixed"
        )


def forget_missing(
    plan: Sequence[Work], journal: Journal, sink: BatchSink, cancel: threading.Event
) -> None:
    """Have those splits done again whose part is no longer in the output as it was written. Several
    parts are looked at at once: to ask a store, or to read a file, takes its time.

    Raises:
        JobOutputError: the output cannot be reached, or the journal not be written.
        Cancelled: it was cancelled meanwhile; what was not looked at yet is, the next time.
    """
    done = [entry for work in plan if (entry := journal.done.get(work.id)) is not None]
    with ThreadPoolExecutor(_LOOKS_AT_ONCE, "penstock-job-look") as pool:
        held = pool.map(lambda entry: sink.holds(entry.id, entry.receipt), done)
        for entry, is_held in zip(done, held, strict=True):
            if cancel.is_set():
                pool.shutdown(wait=False, cancel_futures=True)
                raise Cancelled("the job was stopped before it began; run it again")
            if not is_held:
                journal.append(Redo(entry.id))


def missing(plan: Sequence[Work], journal: Journal) -> list[Work]:
    """What is still to be done."""
    return [work for work in plan if work.id not in journal.done]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
