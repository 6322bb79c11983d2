"""JobStatus: how far a job is, from its state folder alone; it may run meanwhile."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.jobs.batch.hold import Holder, holder_of
from penstock.jobs.batch.job_record import JobRecord, read_record
from penstock.jobs.batch.journal import Skipped, read_ledger
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.run import JOURNAL


class JobStatus(msgspec.Struct, frozen=True):
    """How far a job is.

    Attributes:
        splits: how many the input had when it was last run; 0: it never was.
        done: how many of them have their part in the output, by the journal.
        skipped: those that cannot be read and were left out.
        tally: of those that are done.
        holder: who runs it now; None: nobody.
        record: what it was begun with; None: it was not.
    """

    splits: int
    done: int
    skipped: tuple[Skipped, ...]
    tally: SplitTally
    holder: Holder | None
    record: JobRecord | None


def read_status(state: Path) -> JobStatus:
    """Look at a state folder.

    Raises:
        JobFailed: it is damaged, or cannot be read.
    """
    ledger = read_ledger(state / JOURNAL)
    return JobStatus(
        splits=ledger.num_splits,
        done=len(ledger.done),
        skipped=tuple(ledger.skipped.values()),
        tally=ledger.tally(),
        holder=holder_of(state),
        record=read_record(state),
    )
