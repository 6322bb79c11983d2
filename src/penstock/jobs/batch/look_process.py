"""The first look in a process of its own: a model that ends its process does not end the runner."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from functools import partial

from penstock.core.errors import JobFailed, PenstockError
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.first_look import FirstLook, look
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.process_of_one_answer import answer_apart
from penstock.jobs.batch.work import Work


def look_in_a_process(
    parts: JobParts, plan: Sequence[Work], options: RunOptions, stop: threading.Event
) -> FirstLook:
    """See ``look``; it is done here where the options do not say ``looks_apart``, where the batch
    size is given, or where the job cannot be sent.

    Raises:
        Cancelled: it was stopped.
        JobFailed: the process ended under it.
        PenstockError: see ``look``.
    """
    if not options.looks_apart or options.batch_rows is not None or options.open_parts is None:
        return look(parts, plan, options, stop)
    work = partial(_look_there, plan, options)
    return answer_apart(work, stop, _ended, name="penstock-job-look")


def _ended(how: str) -> JobFailed:
    return JobFailed(
        f"the process that tried the model on the first rows, for the fastest batch size, {how}; "
        "mend the model, or set 'batch_size' and find the row: a split that ends its workers is "
        "named"
    )


def _look_there(plan: Sequence[Work], options: RunOptions) -> FirstLook:
    assert options.open_parts is not None  # noqa: S101 - its only caller has looked
    try:
        with contextlib.closing(options.open_parts()) as parts:
            return look(parts, plan, options, threading.Event())
    except PenstockError:
        raise
    except Exception as err:  # the runner tells of it, in words
        raise broken(err, "the look at the first rows") from err
