"""One runner to an output, also from another machine and with another state folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.sink import HoldsOutput

CheckHold: TypeAlias = Callable[[], None]
"""Raises JobFailed where the output is not held any more. Any thread."""


@contextmanager
def hold_output(parts: JobParts, stop: threading.Event) -> Iterator[CheckHold]:
    """Be the only runner of a job's output, where it has means for that; its state is held.

    Args:
        parts: the job.
        stop: ends the wait for the end of another one's hold.

    Raises:
        Cancelled: it was stopped while it waited.
        JobFailed: another runner writes there.
        JobOutputError: the output cannot be reached.
    """
    sink = parts.sink
    held = sink.hold(parts.state) if isinstance(sink, HoldsOutput) else None
    if held is None or not held.take(stop):
        yield _nobody_else
        return
    try:
        yield held.check
    finally:
        held.close()


def _nobody_else() -> None:
    """The hold of the state folder is all there is."""
