"""What follows of a split that failed. Pure."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from penstock.core.errors import JobInputError, JobOutputError, PenstockError


class FailurePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a job lets pass, as its file says under ``on_error``.

    Attributes:
        max_rate: the largest share of dead rows, from 0 to 1.
        bad_files: what becomes of a split that cannot be read: ``fail``: the splits under way are
            brought to their end, and the job fails; ``skip``: it is left out, and reported.
    """

    max_rate: Annotated[float, Meta(ge=0, le=1)] = 0.001
    bad_files: Literal["fail", "skip"] = "fail"


class Fate(enum.Enum):
    """What follows."""

    AGAIN = "again"  # the split is done again, after a while
    SKIP = "skip"  # it is left out
    LAST = "last"  # what is under way is brought to its end, then the job fails
    STOP = "stop"  # the job fails at once


def fate_of(error: PenstockError, attempt: int, attempts: int, policy: FailurePolicy) -> Fate:
    """What follows of a split that failed.

    What may pass was tried again where it happened; but a part that cannot be written has to be
    done again as a whole.

    Args:
        error: what it failed with.
        attempt: how often it was tried, this time included.
        attempts: how often it may be tried.
        policy: the job's.
    """
    if isinstance(error, JobOutputError):
        return Fate.AGAIN if error.retryable and attempt < attempts else Fate.STOP
    if isinstance(error, JobInputError) and not error.retryable:
        return Fate.SKIP if policy.bad_files == "skip" else Fate.LAST
    return Fate.STOP
