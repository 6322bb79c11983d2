"""What the jobs API tells. Plain values."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from penstock.jobs.batch.report import Report

JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]


class JobProgress(msgspec.Struct, frozen=True):
    """How far a job is.

    Attributes:
        splits: how many parts its input has; 0: not known yet.
        splits_done: how many of them have their part in the output.
        rows: that came to their end.
        rows_dead: of these, how many are dead letters.
    """

    splits: int = 0
    splits_done: int = 0
    rows: int = 0
    rows_dead: int = 0


class JobAnswer(msgspec.Struct, frozen=True):
    """One job.

    Attributes:
        id: the job's.
        name: what the client calls it; its id where it says nothing.
        state: where it is.
        model: the model's name.
        version: the version that it is pinned to.
        is_upload: whether its input came with it, and its output is to be had here.
        output: the folder or URL that it writes to; "": see ``is_upload``.
        progress: how far it is.
        is_cancelling: whether it was cancelled, and has not ended yet.
        error: why it has failed; "": it has not.
        who: who asked for it.
        submitted_ms: when, in milliseconds since 1970.
        started_ms: when it was first run; 0: not yet.
        ended_ms: when it ended; 0: not yet.
        starts: how often it was begun, or gone on with.
    """

    id: str
    name: str
    state: JobState
    model: str
    version: int
    is_upload: bool
    output: str = ""
    progress: JobProgress = JobProgress()
    is_cancelling: bool = False
    error: str = ""
    who: str = ""
    submitted_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    starts: int = 0


class JobList(msgspec.Struct, frozen=True):
    """Every job that is kept.

    Attributes:
        jobs: the one submitted last first.
    """

    jobs: tuple[JobAnswer, ...]


class ResultFile(msgspec.Struct, frozen=True):
    """A file of a job's output.

    Attributes:
        name: what ``?file=`` takes.
        num_bytes: its size.
    """

    name: str
    num_bytes: int


class JobResult(msgspec.Struct, frozen=True):
    """What a job that is done has done.

    Attributes:
        id: the job's.
        report: its counts, its times and what was predicted.
        files: of an upload's output, in the order of the input's rows; of another job: none, they
            are where ``output`` says.
        output: as of ``JobAnswer``.
    """

    id: str
    report: Report
    files: tuple[ResultFile, ...] = ()
    output: str = ""


class Submitted(msgspec.Struct, frozen=True):
    """A job that was asked for.

    Attributes:
        job: the job.
        is_new: whether this request made it; False: an earlier one with the same id did.
    """

    job: JobAnswer
    is_new: bool
