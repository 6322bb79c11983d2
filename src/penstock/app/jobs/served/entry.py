"""JobEntry: what the queue holds of a job, and what may become of it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.core.errors import FailedPrecondition
from penstock.server.jobs_api.answers import JobAnswer, JobProgress, JobState
from penstock.server.share import job_subject

MAX_STARTS = 5
"""How often a job is begun, or gone on with, whose process dies; then it is what kills it."""

ENDED = frozenset({"done", "failed", "cancelled"})


class JobEntry(msgspec.Struct, frozen=True):
    """A job as the control store keeps it.

    Attributes:
        id: the job's.
        folder: the name of its folder there, unlike that of any other job.
        digest: of what the client asked for.
        spec: the job as ``penstock batch run`` would read it, its model pinned.
        is_upload: whether its input came with it.
        who: who asked for it.
        submitted_ms: when, in milliseconds since 1970.
        state: where it is.
        cancelled_by: who wants it to end; "": nobody.
        starts: how often it was begun, or gone on with.
        started_ms: when it was first run; 0: not yet.
        ended_ms: when it ended; 0: not yet.
        error: why it has failed.
        progress: how far it was when it ended.
    """

    id: str
    folder: str
    digest: str
    spec: dict[str, Any]
    is_upload: bool
    who: str = ""
    submitted_ms: int = 0
    state: JobState = "queued"
    cancelled_by: str = ""
    starts: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    error: str = ""
    progress: JobProgress = JobProgress()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.state in ENDED


def job_of(place: str, subject: str) -> str | None:
    """The job that a subject is about; None: it is about none of this folder."""
    prefix = job_subject(place, "")
    return subject.removeprefix(prefix) if subject.startswith(prefix) else None


def lease_of(place: str) -> str:
    """The lease of the process that runs the jobs of a jobs folder."""
    return f"jobs/{place}"


def started(entry: JobEntry, now_ms: int) -> JobEntry:
    """It is run."""
    return replace(
        entry,
        state="running",
        starts=entry.starts + 1,
        started_ms=entry.started_ms or now_ms,
    )


def put_back(entry: JobEntry) -> JobEntry:
    """Its process was ended by us: it is gone on with later, and that start does not count."""
    return replace(entry, state="queued", starts=entry.starts - 1)


def died(entry: JobEntry, how: str, now_ms: int) -> JobEntry:
    """Its process died.

    Args:
        entry: the job, running.
        how: in words that follow "its process".
        now_ms: the time.
    """
    if entry.cancelled_by:
        return ended(entry, "cancelled", now_ms)
    if entry.starts < MAX_STARTS:
        return replace(entry, state="queued")
    error = (
        f"its process {how}; it was begun {entry.starts} times and never came to its end: the "
        "server's log may say more"
    )
    return ended(entry, "failed", now_ms, error)


def ended(entry: JobEntry, state: JobState, now_ms: int, error: str = "") -> JobEntry:
    """It came to its end."""
    return replace(entry, state=state, ended_ms=now_ms, error=error)


def cancelled(entry: JobEntry, who: str, now_ms: int) -> JobEntry:
    """Somebody wants it to end.

    Raises:
        FailedPrecondition: it has ended, and not by being cancelled.
    """
    if entry.state == "cancelled":
        return entry
    if entry.has_ended:
        raise FailedPrecondition(f"job '{entry.id}' cannot be cancelled: it is {entry.state}")
    marked = replace(entry, cancelled_by=entry.cancelled_by or who)
    return ended(marked, "cancelled", now_ms) if entry.state == "queued" else marked


def check_done(entry: JobEntry) -> None:
    """See that there is a result.

    Raises:
        FailedPrecondition: there is none, or not yet.
    """
    if entry.state == "done":
        return
    why = f": {entry.error}" if entry.error else ""
    when = "" if entry.has_ended else " yet"
    raise FailedPrecondition(f"job '{entry.id}' has no result{when}: it is {entry.state}{why}")


def answer_of(entry: JobEntry, progress: JobProgress) -> JobAnswer:
    """What a client is told."""
    model = entry.spec["model"]
    return JobAnswer(
        id=entry.id,
        name=entry.spec["name"],
        state=entry.state,
        model=model["name"],
        version=model["version"],
        is_upload=entry.is_upload,
        output="" if entry.is_upload else entry.spec["output"]["path"],
        progress=progress,
        is_cancelling=bool(entry.cancelled_by) and not entry.has_ended,
        error=entry.error,
        who=entry.who,
        submitted_ms=entry.submitted_ms,
        started_ms=entry.started_ms,
        ended_ms=entry.ended_ms,
        starts=entry.starts,
    )
