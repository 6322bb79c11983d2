"""The plan of a job: its splits by id, and what of them is done already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.core.errors import JobFailed, JobInputError
from penstock.jobs.batch.journal import Done, Journal, Redo
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.sink import BatchSink, ListsParts
from penstock.jobs.batch.split import split_id
from penstock.jobs.batch.work import Work

_SHOWN = 3


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
            f"back as it was, or give the job another output and 'state'"
        )
    foreign = set(sink.part_ids()) - planned if isinstance(sink, ListsParts) else set()
    if foreign:
        raise JobFailed(
            f"the output has parts of another job, model or input: {_some(sorted(foreign))}; give "
            f"the job an output of its own, or empty this one: predictions of two kinds are never "
            f"mixed"
        )


def forget_missing(plan: Sequence[Work], journal: Journal, sink: BatchSink) -> None:
    """Have those splits done again whose part is no longer in the output as it was written.

    Raises:
        JobOutputError: the output cannot be reached, or the journal not be written.
    """
    for work in plan:
        done = journal.done.get(work.id)
        if done is not None and not sink.holds(work.id, done.receipt):
            journal.append(Redo(work.id))


def missing(plan: Sequence[Work], journal: Journal) -> list[Work]:
    """What is still to be done."""
    return [work for work in plan if work.id not in journal.done]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
